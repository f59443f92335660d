"""Is a coin still heads up after some people have flipped it and others have not?

The task is that of arXiv 2201.11903 and 2311.04205. In several steps, the question is stated again
with the side that is up after each person.
"""

import re
from random import Random

from minillm.system2.programs import ANSWER
from minillm.system2.question import Question
from minillm.system2.tasks.task import Responses, Task
from minillm.system2.tasks.wording import draw_names, draw_wording

STARTS = ("A coin is heads up.", "A coin shows heads.", "A coin lies with heads up.")
# What people do with the coin: flip it, or not.
ACTIONS = (
    ("flips it", "does not flip it"),
    ("turns it over", "does not turn it over"),
    ("reverses it", "does not reverse it"),
)
ENDS = ("Is it still heads up?", "Does it still show heads?", "Is heads still up?")
PEOPLE = (2, 3, 4)


def question(random: Random, split: str) -> Question:
    """Draw two to four people; the variants have other names, and the people in other order."""
    wording = draw_wording(random, split, STARTS, ACTIONS, ENDS)
    count = random.choice(PEOPLE)
    flips = [random.random() < 0.5 for _ in range(count)]
    names, others = draw_names(random, split, count), draw_names(random, split, count)
    order = list(range(count))
    while order == sorted(order):
        random.shuffle(order)
    return Question(
        "",
        _text(wording, names, flips),
        (_yes_no(sum(flips) % 2 == 0),),
        (
            _text(wording, others, flips),
            _text(wording, [names[i] for i in order], [flips[i] for i in order]),
        ),
    )


def _text(wording: list, names: list[str], flips: list[bool]) -> str:
    start, (flip, keep), end = wording
    actions = (
        f"{name} {flip if flipped else keep}." for name, flipped in zip(names, flips, strict=True)
    )
    return " ".join((start, *actions, end))


def _yes_no(value: bool) -> str:
    return "yes" if value else "no"


def demonstrate(question: Question, program: str) -> Responses | None:
    """The side that is up after each person, and the answer."""
    sentences = re.findall(r"[^.?]+[.?]", question.text)[1:-1]
    heads, sides = True, []
    for sentence in sentences:
        flipped = " not " not in sentence
        heads = heads != flipped
        action = "flip" if flipped else "keep"
        sides.append(f"{sentence.split()[0]} {action}: {'heads' if heads else 'tails'}.")
    answer = _yes_no(heads)
    detailed = f"Start: heads. {' '.join(sides)} Is it heads?"
    return {
        "direct": [[answer]],
        "rephrase": [[f"{detailed} {ANSWER}\n{answer}"]],
    }.get(program)


TASK = Task("coin_flip", question, demonstrate, "rephrase", "yes_no")
