"""Which of two letters meets more of the three wishes in the question?

In several steps, the wishes become criteria, both letters are scored by each, and the scores decide
(branch, solve, merge). In the demonstrations, each score follows the word of the letter that it is
given for. Small models did not learn to score without this word.
"""

import re
from random import Random

from minillm.data.embedded.world import BOATS, CLOTHS, DAYS, FOODS
from minillm.system2.question import Question
from minillm.system2.tasks.task import Responses, Task
from minillm.system2.tasks.wording import draw_names, draw_wording

WRITE = ("Write to", "Send a line to", "Reply to", "Send word to")
MENTION = ("Mention", "Name", "Include")
# What a letter names. It can also have a word of thanks.
SLOTS = (BOATS, FOODS + CLOTHS, DAYS)
THANKS = "thanks"
WISHES = 3
RIGHT = 0.6  # the share of wishes that a letter meets
BEST, WORST = 5, 1  # scores


def question(random: Random, split: str) -> Question:
    """Draw three wishes and two letters such that A, B and tie are equally frequent.

    The variants state the wishes in other words.
    """
    (name,) = draw_names(random, split, 1)
    ideal = [*(random.choice(slot) for slot in SLOTS), THANKS]
    slots = sorted(random.sample(range(len(ideal)), WISHES))
    wishes = [ideal[i] for i in slots]
    texts: dict[str, None] = {}
    while len(texts) < 3:
        write, mention = draw_wording(random, split, WRITE, MENTION)
        texts[f"{write} {name}. {mention} {wishes[0]}, {wishes[1]} and {wishes[2]}."] = None
    text, *variants = texts
    answer = random.choice(("A", "B", "tie"))
    while True:
        pair = (_letter(random, ideal), _letter(random, ideal))
        if pair[0] != pair[1] and better(wishes, pair) == answer:
            return Question("", text, (answer,), tuple(variants), pair)


def _letter(random: Random, ideal: list[str]) -> str:
    boat, goods, day = (
        word if random.random() < RIGHT else random.choice([x for x in slot if x != word])
        for word, slot in zip(ideal, SLOTS, strict=False)
    )
    thanks = f" With {THANKS}." if random.random() < RIGHT else ""
    return f"The {boat} brings {goods} on {day}.{thanks}"


def better(wishes: list[str], pair: tuple[str, str]) -> str:
    """A, B or tie: the letter that has more of the words."""
    first, second = (sum(wish in re.findall(r"\w+", letter) for wish in wishes) for letter in pair)
    return "A" if first > second else "B" if second > first else "tie"


def demonstrate(question: Question, program: str) -> Responses | None:
    """The wishes, the scores of both letters by each wish, and the decision."""
    wishes = re.findall(r"\w+", question.text.split(". ")[1].replace(" and ", ", "))[1:]
    scores = [
        ", ".join(
            f"{label} {_score(letter, wish)}"
            for label, letter in zip("AB", question.candidates, strict=True)
        )
        for wish in wishes
    ]
    answer = better(wishes, question.candidates)
    return {
        "direct": [[answer]],
        "branch_solve_merge": [["\n".join(f"names {wish}" for wish in wishes)], scores, [answer]],
    }.get(program)


def _score(letter: str, wish: str) -> str:
    """The word of the letter that is of the same kind as the wish, and its score."""
    kind = next((slot for slot in SLOTS if wish in slot), (THANKS,))
    word = next((word for word in re.findall(r"\w+", letter) if word in kind), "nothing")
    return f"{word}: {BEST if word == wish else WORST}"


TASK = Task("pair_judging", question, demonstrate, "branch_solve_merge", "choice")
