"""The last letters of the words of a made-up name.

The task is that of arXiv 2201.11903 and 2311.04205. In several steps, the question is stated again
with all words spelled, and then answered. The letters of an answer have spaces between them, so
that a tokenizer reads each as one token.
"""

import re
from random import Random

from minillm.system2.programs import ANSWER
from minillm.system2.question import Question
from minillm.system2.tasks.task import Responses, Task
from minillm.system2.tasks.wording import draw_names, draw_wording

VERBS = ("Write", "Give", "Name", "List")
LETTERS = ("the last letter", "the final letter", "the letter at the end")
WORDS = ("of each word in", "of all words in", "of every part of")
WORD_COUNTS = (2, 3)


def question(random: Random, split: str) -> Question:
    """Draw a name of two or three words; the variants ask for its last letters in other words."""
    name = " ".join(draw_names(random, split, random.choice(WORD_COUNTS)))
    texts: dict[str, None] = {}
    while len(texts) < 3:
        texts[f"{' '.join(draw_wording(random, split, VERBS, LETTERS, WORDS))}: {name}."] = None
    text, *variants = texts
    answer = "".join(word[-1] for word in name.split())
    return Question("", text, (answer,), tuple(variants))


def demonstrate(question: Question, program: str) -> Responses | None:
    """The spelled words, and the answer."""
    words = re.search(r": (.+)\.", question.text)[1].split()
    answer = " ".join(word[-1] for word in words)
    spelled = ". ".join(f"{word}: {' '.join(word.lower())}" for word in words)
    detailed = f"Words: {spelled}. Which letter of each is last?"
    return {
        "direct": [[answer]],
        "rephrase_twice": [[detailed], [answer]],
        "rephrase": [[f"{detailed} {ANSWER}\n{answer}"]],
    }.get(program)


TASK = Task(
    "last_letters", question, demonstrate, "rephrase", "letters", other_programs=("rephrase_twice",)
)
