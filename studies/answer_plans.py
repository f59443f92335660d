"""Which answers do students of the embedded data choose, and what does the choice cost?

    python -m studies.answer_plans runs/quickstart/init runs/quickstart/minillm ...

Each task of the embedded data has three plans of an answer: three sentences that a writer chooses
from, the first most often. This study finds the plan of each greedy response, and the share of the
names that it copies, of those that the answer must copy from the prompt. It counts the families of
tasks in which one plan has more than 80% of the sampled responses. The difference in ROUGE-L of
greedy decoding between a model and the first one is the sum of two parts:

*   *plans*: the change of the shares of the plans, at the mean score of both models in each plan.
*   *within plans*: the change of the score in each plan, at the mean share of both models.

The runs must have been scored on the embedded data by `minillm evaluate`.
"""

import argparse
import json
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from random import Random

from minillm.data.embedded import lexicon, world
from minillm.data.embedded.families import FAMILIES
from minillm.data.embedded.task import Family
from minillm.data.embedded.wording import expand, voice_picker
from minillm.reporting.markdown import table

PLANS = 3
# The words in which tasks differ: names, things, places and times.
NAMES = {
    word
    for words in vars(world).values()
    if isinstance(words, tuple)
    for text in words
    for word in text.lower().split()
    if len(word) > 2  # not "on a hill"
}
Classify = Callable[[str, str], int]


@dataclass(frozen=True)
class Answer:
    """A response.

    Attributes:
        topic: the family of its task.
        plan: the number of its plan, from 0.
        score: ROUGE-L in percent.
        copied: how many names of the prompt that all references contain are in the response.
        to_copy: the number of these names.
    """

    topic: str
    plan: int
    score: float
    copied: int
    to_copy: int


def draw_answers(family: Family, rng: Random) -> list[str]:
    """One answer of each plan to a task."""
    pick = voice_picker(rng, rng.choice(world.VOICES))
    return [
        expand(f"{lexicon.OPENING}, {plan} {lexicon.CLOSING}.", pick)
        for plan in family(rng).answers
    ]


def classifier(draws: int = 400, seed: int = 0) -> Classify:
    """A naive Bayes classifier of answers, `classify(topic, text)` is the number of the plan.

    The features are words and pairs of words. The classifier learns from `draws` tasks per family.
    """
    rng = Random(seed)
    counts: dict[tuple[str, int], Counter] = {}
    for family in FAMILIES:
        for _ in range(draws):
            for plan, text in enumerate(draw_answers(family, rng)):
                counts.setdefault((family.__name__, plan), Counter()).update(_features(text))
    size = len(set().union(*counts.values()))

    def likelihood(topic: str, plan: int, features: Sequence) -> float:
        known = counts[topic, plan]
        total = known.total() + 0.1 * size
        return sum(math.log((known[x] + 0.1) / total) for x in features)

    def classify(topic: str, text: str) -> int:
        features = _features(text)
        return max(range(PLANS), key=lambda plan: likelihood(topic, plan, features))

    return classify


def _features(text: str) -> list:
    words = re.findall(r"[\w;:]+", text.lower())
    return [*words, *pairwise(words)]


def read_answers(run: Path, classify: Classify) -> tuple[list[Answer], list[Answer]]:
    """The greedy and the sampled responses of a run."""
    file = run / "evaluation" / "embedded.responses.jsonl"
    greedy, sampled = [], []
    lines = file.read_text(encoding="utf-8").split("\n")  # not the line breaks of Unicode
    for row in map(json.loads, filter(None, lines)):
        needed = set.intersection(*map(_names, [row["prompt"], *row["references"]]))
        plan = classify(row["topic"], row["response"])
        copied = len(needed & _names(row["response"]))
        answer = Answer(row["topic"], plan, row["rougeL"], copied, len(needed))
        (greedy if row["seed"] == "greedy" else sampled).append(answer)
    return greedy, sampled


def _names(text: str) -> set[str]:
    return NAMES & set(re.findall(r"\w+", text.lower()))


def cells(answers: Sequence[Answer]) -> dict[tuple[str, int], tuple[float, float]]:
    """(topic, plan) -> the share of all answers, and their mean score (0 without answers)."""
    found: dict[tuple[str, int], list[float]] = {}
    for answer in answers:
        found.setdefault((answer.topic, answer.plan), []).append(answer.score)
    return {key: (len(x) / len(answers), sum(x) / len(x)) for key, x in found.items()}


def difference(answers: Sequence[Answer], others: Sequence[Answer]) -> tuple[float, float]:
    """The parts of the mean score of `answers` minus that of `others`: plans, and within plans.

    A plan of a topic that only one of them has is scored by the answers of this one.
    """
    ours, theirs = cells(answers), cells(others)
    plans = within = 0.0
    for key in ours.keys() | theirs.keys():
        share, score = ours.get(key, (0.0, theirs.get(key, (0, 0))[1]))
        other_share, other_score = theirs.get(key, (0.0, score))
        plans += (share - other_share) * (score + other_score) / 2
        within += (score - other_score) * (share + other_share) / 2
    return plans, within


def families_with_one_plan(answers: Sequence[Answer]) -> int:
    """In how many families one plan has more than 80% of the answers."""
    plans: dict[str, Counter] = {}
    for answer in answers:
        plans.setdefault(answer.topic, Counter())[answer.plan] += 1
    return sum(max(x.values()) > 0.8 * x.total() for x in plans.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "runs", nargs="+", type=Path, help="the first one is the one to compare with"
    )
    arguments = parser.parse_args()
    classify = classifier()
    answers = {run.name: read_answers(run, classify) for run in arguments.runs}
    first, _ = next(iter(answers.values()))
    rows = []
    for name, (found, sampled) in answers.items():
        shares = [sum(x.plan == plan for x in found) / len(found) for plan in range(PLANS)]
        copied = sum(x.copied for x in found) / sum(x.to_copy for x in found)
        plans, within = difference(found, first)
        rows.append(
            [name, f"{sum(x.score for x in found) / len(found):.1f}"]
            + [f"{100 * share:.0f}" for share in shares]
            + [f"{100 * copied:.0f}", f"{plans:+.1f}", f"{within:+.1f}"]
            + [str(families_with_one_plan(sampled))]
        )
    header = ["model", "greedy", *(f"plan {plan + 1}, %" for plan in range(PLANS)), "copied, %"]
    columns = [*header, "by plans", "within plans", "families with one plan"]
    print(table(columns, rows, texts=1))


if __name__ == "__main__":
    main()
