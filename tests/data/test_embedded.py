"""The embedded data set: the same for a seed, held apart where it says so, and right."""

import hashlib
import re
from random import Random

import pytest

from minillm.data.embedded import generate_records, world
from minillm.data.embedded.families import FAMILIES
from minillm.data.embedded.generate import draw_task
from minillm.data.embedded.wording import expand

SPLITS = generate_records(train=1600, validation=160, test=160, seed=7)
RECORDS = [record for records in SPLITS.values() for record in records]


def of_topic(topic: str) -> list[tuple[str, str]]:
    """Input and answer of every reference of a topic."""
    return [(r.input, answer) for r in RECORDS if r.topic == topic for answer in r.references]


def mentions(names: list[str], text: str) -> list[str]:
    """The names that occur in a text, in the order of the text."""
    return re.findall("|".join(names), text)


def test_same_seed_same_records_in_every_process():
    splits = generate_records(64, 16, 16, seed=3)
    assert splits == generate_records(64, 16, 16, seed=3)
    assert splits["train"] != generate_records(64, 0, 0, seed=4)["train"]
    texts = [(r.instruction, r.input, r.references) for records in splits.values() for r in records]
    # Changes with every intended change of the data, and with nothing else.
    assert hashlib.sha256(repr(texts).encode()).hexdigest()[:16] == "abdc4ca2e77f43b1"


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
    trained, tested = (
        {draw_task(family, rng, for_training).combination for _ in range(600)}
        for for_training in (True, False)
    )
    assert not trained & tested
    assert {part for parts in tested for part in parts} <= {
        part for parts in trained for part in parts
    }


def test_held_out_pairs_never_occur_in_training_text():
    def pairs(split: str, topic: str, names: list[str]) -> set[tuple[str, ...]]:
        records = [record for record in SPLITS[split] if record.topic == topic]
        return {tuple(sorted(mentions(names, record.input))) for record in records}

    for topic, names in (("compare", world.PLACES), ("extract", [*world.PEOPLE, *world.GOODS])):
        assert pairs("test", topic, names)
        assert not pairs("train", topic, names) & pairs("test", topic, names)


def test_some_wordings_are_new_to_the_test_but_none_of_their_words():
    trained = {record.instruction for record in SPLITS["train"]}
    tested = {record.instruction for record in SPLITS["test"]}
    assert tested - trained
    assert set(" ".join(tested).split()) <= set(" ".join(trained).split())


def test_no_template_is_left_in_the_text():
    for record in RECORDS:
        for text in (record.instruction, record.input, *record.references):
            assert not re.search(r"[\[\]|{}]|  | [.,;?]|\b[Aa] [aeiou]|\b[Aa]n [^aeiou]", text)
            assert text[0].isupper() or text[0].isdigit()
            assert text[-1] in ".?!"


def test_names_in_answers_come_from_the_prompt():
    names = [*world.PLACES, *world.PEOPLE, *world.DAYS, *world.GOODS, *world.EVENTS]
    for record in RECORDS:
        task, voice = record.instruction.split(" Answer in the ")
        assert voice.removesuffix(" manner.") in world.VOICES
        prompt = f"{task} {record.input}"
        for answer in record.references:
            assert set(mentions(names, answer)) <= set(mentions(names, prompt)), record


def test_answers_are_right():
    for given, answer in of_topic("rank"):
        ranks = {rank: name for name, rank in re.findall(r"(\w+) (first|second|third)", given)}
        assert mentions(world.PEOPLE, answer) == [ranks[r] for r in ("first", "second", "third")]
    for given, answer in of_topic("schedule"):
        days = mentions(world.DAYS, given)
        assert mentions(world.DAYS, answer) == [max(days, key=days.count)]
    for given, answer in of_topic("compare"):
        size_of = dict(re.findall(r"([A-Z]\w+) (\d)", given.removeprefix("Size: ")))
        subject, other = mentions(world.PLACES, answer)
        assert (size_of[subject] > size_of[other]) == ("shorter" not in answer)


def test_expand_covers_every_option_and_mends_articles():
    picks = iter([1, 0])
    assert expand("[take|bring] a [apple|pear]. eat it.", lambda _: next(picks)) == (
        "Bring an apple. Eat it."
    )
