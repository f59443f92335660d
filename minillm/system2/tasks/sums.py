"""Sums of three to five steps, which arXiv 2407.06023 finds not to distil."""

import re
from random import Random

from minillm.data.embedded.world import COUNTED
from minillm.system2.programs import ANSWER
from minillm.system2.question import Question
from minillm.system2.tasks.task import Responses, Task
from minillm.system2.tasks.wording import draw_names, draw_wording

# A number becomes larger, or smaller.
CHANGES = (("gets", "loses"), ("buys", "sells"), ("finds", "breaks"))
ASKED = ("How many are there now?", "How many are left?", "What is the number now?")
STEPS = (3, 4, 5)
LARGEST = 30  # of all numbers; the smallest is 1
LARGEST_CHANGE = 9


def question(random: Random, split: str) -> Question:
    """Draw a start and its changes; the variants have another name, and the changes in other order.

    No number on the way is below 1 or above 30, in each order.
    """
    wording = draw_wording(random, split, CHANGES, COUNTED, ASKED)
    name, other = draw_names(random, split, 2)
    while True:
        start = random.randint(1, LARGEST)
        size = random.choice(STEPS)
        changes = [random.choice((1, -1)) * random.randint(1, LARGEST_CHANGE) for _ in range(size)]
        order = random.sample(changes, size)
        totals = _totals(start, changes) + _totals(start, order)
        if order != changes and all(1 <= total <= LARGEST for total in totals):
            break
    return Question(
        "",
        _text(wording, name, start, changes),
        (str(start + sum(changes)),),
        (_text(wording, other, start, changes), _text(wording, name, start, order)),
    )


def _totals(start: int, changes: list[int]) -> list[int]:
    totals = [start]
    for change in changes:
        totals.append(totals[-1] + change)
    return totals


def _text(wording: list, name: str, start: int, changes: list[int]) -> str:
    (more, fewer), counted, asked = wording
    steps = ", ".join(f"{more if change > 0 else fewer} {abs(change)}" for change in changes)
    return f"Today {name} has {start} {counted}, {steps}. {asked}"


def demonstrate(question: Question, program: str) -> Responses | None:
    """One equation per change, and the answer."""
    sign = {verb: sign for pair in CHANGES for verb, sign in zip(pair, "+-", strict=True)}
    start, *changes = re.findall(r"(\w+) (\d+)", question.text)
    total, steps = int(start[1]), []
    for verb, number in changes:
        result = total + int(f"{sign[verb]}{number}")
        steps.append(f"{total} {sign[verb]} {number} = {result}.")
        total = result
    return {
        "direct": [[str(total)]],
        "chain_of_thought": [[f"Steps: {' '.join(steps)} {ANSWER}\n{total}"]],
    }.get(program)


TASK = Task("sums", question, demonstrate, "chain_of_thought", "number")
