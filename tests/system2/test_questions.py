"""Files of questions: what is refused and with which advice, and what is read of a folder."""

import json
import logging
from pathlib import Path

import pytest

from minillm.errors import InputError
from minillm.system2.folder import load_questions
from minillm.system2.question import Question, read_questions
from minillm.system2.settings import read_study
from tests.conftest import write_jsonl

PAIR = {"text": "Why?", "candidates": ["left", "right"]}
VARIED = {"text": "Who?", "id": "a", "variants": ["Which person?"]}


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def read(*rows: dict) -> list[Question]:
    return read_questions(write_jsonl(Path("questions.jsonl"), rows))


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([VARIED, {"text": "Else?", "id": "a/1"}], "a/1"),
        ([{"text": "Else?", "id": "a/1"}, VARIED], "a/1"),
        ([PAIR | {"id": "a"}, {"text": "Else?", "id": "a/swapped"}], "a/swapped"),
        ([PAIR | {"id": "a", "variants": ["For what?"]}, VARIED | {"id": "a/1"}], "a/1"),
    ],
)
def test_ids_of_variants_are_distinct_from_ids_of_questions(rows, name):
    with pytest.raises(InputError, match=f"the id '{name}' occurs twice.*`a/swapped`"):
        read(*rows)


def test_similar_ids_are_allowed():
    others = [{"text": "Else?", "id": name} for name in ("a/2", "a/swapped", "a/1/1")]
    assert len(read(VARIED, *others)) == 4


@pytest.mark.parametrize(
    "row",
    [
        {"text": "x\ud800"},
        {"text": "x", "variants": ["y", "\udc00"]},
        {"text": "x", "answer": "\ud800"},
        {"text": "x", "candidates": ["\ud800", "y"]},
        {"text": "x", "id": "\ud800"},
        {"text": "x", "group": "\ud800"},
    ],
)
def test_half_a_character_is_refused(row):
    with pytest.raises(InputError, match=r"line 2: \\ud[8c]00 is only half of a character"):
        read({"text": "first"}, row)


def test_whole_characters_and_other_columns_are_read():
    row = {"text": "\U0001f600?", "other": "\ud800"}
    assert read(row) == [Question("1", "\U0001f600?")]
    assert "\\ud83d\\ude00" in json.dumps(row)  # two codes that are one character


@pytest.mark.parametrize("content", ['[{"text": "x"}]', '\ufeff[\n{"text": "x"}\n]', "\n [\n"])
def test_a_json_array_is_refused_without_settings_of_data(content):
    Path("questions.jsonl").write_text(content, encoding="utf-8")
    with pytest.raises(InputError, match="Each line must be one JSON object") as error:
        read_questions(Path("questions.jsonl"))
    assert "data.kind" not in str(error.value)


def test_null_means_missing():
    nulls = dict.fromkeys(["text", "id", "group", "answer", "answers", "variants", "candidates"])
    assert read(nulls | {"question": "q"}) == [Question("1", "q")]
    assert read(nulls | {"text": "q", "answer": 0}) == [Question("1", "q", ("0",))]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"answer": ""}, "`answer` must not hold an empty text"),
        ({"answers": ["yes", " "]}, "`answers` must not hold an empty text"),
        ({"answer": [None]}, "`answer` must hold texts"),
        ({"answers": {}, "answer": "x"}, "`answers` must hold texts"),
    ],
)
def test_messages_name_the_column_of_the_answers(values, message):
    with pytest.raises(InputError, match=f"line 1: the column {message}"):
        read({"text": "q"} | values)


def load(*words: str, split: str = "test") -> list[Question]:
    more = ["system2.extractor=choice", *words]
    if not any(word.startswith("system2.path") for word in words):
        more.append("system2.path=q")
    if not any(word.startswith("system2.program") for word in words):
        more.append("system2.program=direct")
    return load_questions(read_study(more), split)


def write_folder(*rows: dict) -> None:
    Path("q").mkdir()
    for split in ("train", "test"):
        write_jsonl(Path(f"q/{split}.jsonl"), rows)


def test_a_judge_needs_candidates():
    write_folder(PAIR, {"text": "Alone?", "id": "x"}, {"text": "Too?"})
    judge = "system2.program=branch_solve_merge"
    with pytest.raises(InputError, match=r"q/test\.jsonl: the question 'x' has no candidates") as e:
        load(judge)
    assert "Add the column `candidates`, or give another program." in str(e.value)
    assert len(load()) == 3
    assert len(load(judge, "system2.test_questions=1")) == 1  # the others are not asked


def test_the_path_must_be_a_folder():
    write_folder(PAIR)
    for path in ("q/train.jsonl", "nowhere"):
        with pytest.raises(InputError, match=f"path={path} is not a folder.*train.jsonl and test"):
            load(f"system2.path={path}")


def test_questions_that_are_not_read_are_reported(caplog):
    write_folder(*[{"text": f"{i}?"} for i in range(3)])
    caplog.set_level(logging.WARNING, logger="minillm")
    assert len(load("system2.test_questions=3")) == 3 and not caplog.messages
    assert [x.id for x in load("system2.test_questions=2")] == ["1", "2"]
    load("system2.train_questions=1", split="train")
    assert caplog.messages == [
        "q/test.jsonl: the first 2 of 3 questions are used; system2.test_questions=3 uses all",
        "q/train.jsonl: the first 1 of 3 questions are used; system2.train_questions=3 uses all",
    ]
