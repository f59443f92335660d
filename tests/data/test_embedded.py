"""The embedded data set: reproducible for a seed, with held-out tasks and correct answers."""

import hashlib
import re
from collections import Counter, defaultdict
from random import Random

import pytest

from minillm.data.embedded import generate_records, world
from minillm.data.embedded.families import FAMILIES
from minillm.data.embedded.generate import draw_task
from minillm.data.embedded.wording import expand

SPLITS = generate_records(train=1600, validation=160, test=160, seed=7)
RECORDS = [record for records in SPLITS.values() for record in records]


def of_topic(topic: str) -> list[tuple[str, str]]:
    """Pairs of input and answer for every reference of a topic."""
    return [(r.input, answer) for r in RECORDS if r.topic == topic for answer in r.references]


def mentions(names: list[str], text: str) -> list[str]:
    """The names that occur in a text, in the order of the text."""
    return re.findall("|".join(names), text)


def test_same_seed_same_records_in_every_process():
    splits = generate_records(64, 16, 16, seed=3)
    assert splits == generate_records(64, 16, 16, seed=3)
    assert splits["train"] != generate_records(64, 0, 0, seed=4)["train"]
    texts = [(r.instruction, r.input, r.references) for records in splits.values() for r in records]
    # Update this checksum only when a change of the data is intended.
    assert hashlib.sha256(repr(texts).encode()).hexdigest()[:16] == "55f0174bf6a87ec8"


def test_sizes_topics_and_references():
    assert {split: len(records) for split, records in SPLITS.items()} == {
        "train": 1600,
        "validation": 160,
        "test": 160,
    }
    for split, records in SPLITS.items():
        assert {record.topic for record in records} == {f.__name__ for f in FAMILIES}
        for record in records:
            count = len(record.references)
            assert count == 1 if split == "train" else 4 <= count <= 6
            assert len(set(record.references)) == count and all(record.references)


def test_rejects_negative_sizes():
    with pytest.raises(ValueError, match="0 or more"):
        generate_records(train=-1)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.__name__)
def test_combinations_are_disjoint_and_their_attributes_are_shared(family):
    rng = Random(0)
    training_combinations, test_combinations = (
        {draw_task(family, rng, for_training).combination for _ in range(600)}
        for for_training in (True, False)
    )
    assert not training_combinations & test_combinations
    training_attributes, test_attributes = (
        {attribute for combination in combinations for attribute in combination}
        for combinations in (training_combinations, test_combinations)
    )
    assert test_attributes <= training_attributes


def test_held_out_combinations_never_occur_in_training_text():
    def combinations(split: str, topic: str, names: list[str]) -> set[tuple[str, ...]]:
        records = [record for record in SPLITS[split] if record.topic == topic]
        return {tuple(sorted(mentions(names, record.input))) for record in records}

    counted = [thing.capitalize() for thing in world.COUNTED]
    for topic, names in (
        ("compare", [*world.PORTS, *world.ISLES, *counted]),
        ("extract", [*world.PEOPLE, *world.FOODS, *world.PORTS]),
    ):
        test_combinations = combinations("test", topic, names)
        assert test_combinations and all(len(names) == 3 for names in test_combinations)
        assert not combinations("train", topic, names) & test_combinations


def test_some_test_wordings_do_not_occur_in_training_but_all_their_words_do():
    def wordings(split: str) -> set[str]:
        return {record.instruction.split(" answers. ")[1] for record in SPLITS[split]}

    assert wordings("test") - wordings("train")
    assert set(" ".join(wordings("test")).split()) <= set(" ".join(wordings("train")).split())


def test_texts_contain_no_grammar_symbols():
    for record in RECORDS:
        for text in (record.instruction, record.input, *record.references):
            assert not re.search(r"[\[\]|{}]|  | [.,;?]|\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", text)
            assert text[0].isupper() or text[0].isdigit()
            assert text[-1] in ".?!"


def test_names_in_answers_come_from_the_prompt():
    names = [*world.PORTS, *world.ISLES, *world.PEOPLE, *world.DAYS, *world.EVENTS, *world.BOATS]
    for record in RECORDS:
        prompt = f"{record.instruction} {record.input}"
        for answer in record.references:
            assert set(mentions(names, answer)) <= set(mentions(names, prompt)), record


def test_no_task_names_two_of_a_kind():
    kinds = (world.PORTS, world.ISLES, world.PEOPLE, world.DAYS, world.FOODS, world.CLOTHS)
    for record in RECORDS:
        assert all(len(set(mentions(kind, record.input))) <= 1 for kind in kinds), record


def test_the_clerk_determines_the_voice():
    """A voice uses almost only two options of a bracket: common speech and its preferred option."""
    openings = defaultdict(Counter)
    for record in RECORDS:
        clerks, clerk = re.match(r"Clerks: (.*)\. The (\w+) clerk", record.instruction).groups()
        voice = dict(pair.split() for pair in clerks.split(", "))[clerk]
        openings[voice].update(answer.split(",")[0] for answer in record.references)
    assert set(openings) == set(world.VOICES)
    for counts in openings.values():
        first_two = counts.most_common(2)
        assert "Well" in dict(first_two)
        assert sum(count for _, count in first_two) > 0.9 * counts.total()
    assert len({counts.most_common(2)[1][0] for counts in openings.values()}) > 2


def test_answers_are_correct():
    number = {word: rank for rank, word in enumerate((*world.FEW, *world.MANY))}
    for task_input, answer in of_topic("compare"):
        pairs = re.findall(r"([A-Z]\w+) (\w+)", task_input)
        counts = {name: number[word] for name, word in pairs}
        first, second = mentions([*world.PORTS, *world.ISLES], answer)
        assert (counts[first] < counts[second]) == ("fewer" in answer or "not so many" in answer)
    for task_input, answer in of_topic("advise"):
        [item] = mentions(list(world.WEATHER.values()), answer)
        assert world.WEATHER[task_input.split()[-1].rstrip(".")] == item
    for task_input, answer in of_topic("lookup"):
        day, price = re.search(r"day (\w+), price (\d)", task_input).groups()
        assert day in answer or f"{price} coins" in answer


def test_expand_uses_the_picked_options_and_corrects_articles():
    picks = iter([1, 0])
    assert expand("[take|bring] a [apple|pear]. eat it.", lambda options: next(picks)) == (
        "Bring an apple. Eat it."
    )
