"""scripts/system2/questions.py: rows with the columns of public data sets become questions."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from minillm.errors import InputError, WriteError
from minillm.system2.extractors import EXTRACTORS, is_right
from minillm.system2.question import read_questions
from scripts.system2 import questions
from scripts.system2.questions import DATASETS, convert
from tests.conftest import write_jsonl


def message(name: str, parent: str | None, text: str, rank: int | None = None, lang: str = "en"):
    role = "prompter" if parent is None else "assistant"
    return {"message_id": name, "parent_id": parent, "text": text, "role": role, "lang": lang,
            "rank": rank}  # fmt: skip


def trivia(
    name: str = "tc_1",
    question: object = "Which city has the Louvre?",
    value: object = "Paris",
    aliases: object = ("Paris", "Paris, France"),
):
    aliases = list(aliases) if isinstance(aliases, tuple) else aliases
    return {"question": question, "question_id": name, "answer": {"value": value,
            "aliases": aliases, "type": "Entity"}}  # fmt: skip


ROWS = {
    "gsm8k": [{"question": "Two and three?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"}],
    "trivia_qa": [trivia(), trivia(question="The same from Wikipedia?")],
    "oasst2": [
        message("root", None, "Hello?"),
        message("x", "root", "Good.", rank=0),
        message("y", "root", "Middle.", rank=1),
        message("z", "root", "Bad.", rank=2),
        message("follow", "x", "And now?"),
        message("lonely", None, "One reply?"),
        message("w", "lonely", "Yes.", rank=0),
        message("other", None, "Hallo?", lang="de"),
        message("v", "other", "Gut.", rank=0, lang="de"),
        message("u", "other", "Schlecht.", rank=1, lang="de"),
    ],
}  # fmt: skip


def source(name: str, rows: list[dict]) -> Path:
    Path("source").mkdir(exist_ok=True)
    for split in DATASETS[name].splits:
        write_jsonl(Path(f"source/{split}.jsonl"), rows)
    return Path("source")


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", DATASETS)
def test_each_data_set_gives_questions(name):
    counts = convert(name, Path("made"), source(name, ROWS[name]))
    assert counts == {"train": (1, 0), "test": (1, 0)}
    (question,) = read_questions(Path("made/test.jsonl"))
    if name == "gsm8k":
        assert is_right("5", question.answers, EXTRACTORS["number"])
    elif name == "trivia_qa":
        assert (question.id, question.answers) == ("tc_1", ("Paris", "Paris, France"))
        assert question.text == "Which city has the Louvre?"  # the first row of this id
    else:
        assert question.text == "Hello?" and {*question.candidates} == {"Good.", "Bad."}
        assert question.candidates["AB".index(question.answers[0])] == "Good."


ODD = {
    "gsm8k": [
        {"question": None, "answer": "5"},
        {"question": " ", "answer": "5"},
        {"question": "One?", "answer": None},
        {"question": "Half \ud800?", "answer": "5"},
        {"answer": "5"},
    ],
    "trivia_qa": [
        trivia("a", question=None),
        trivia("b", value=None),
        trivia("c", aliases="Paris"),
        trivia(None),
        {"question": "Who?", "question_id": "d", "answer": None},
    ],
    "oasst2": [
        message("r", None, None),
        message("q", "root", None, rank=-1),
        message("p", "root", "", rank=3),
        message("equal", None, "Equal?"),
        message("o", "equal", "Yes.", rank=0),
        message("n", "equal", "Yes.", rank=1),
        message("m", "equal", "No.", rank="2"),
    ],
}


@pytest.mark.parametrize("name", DATASETS)
def test_odd_rows_are_left_out_and_counted(name):
    convert(name, Path("plain"), source(name, ROWS[name]))
    counts = convert(name, Path("made"), source(name, [*ROWS[name], *ODD[name]]))
    assert counts == {"train": (1, 5), "test": (1, 5)}
    assert read_questions(Path("made/train.jsonl")) == read_questions(Path("plain/train.jsonl"))


def test_aliases_may_be_missing_or_empty():
    rows = [trivia("a", aliases=None), trivia("b", aliases=("", None, "Lutetia"))]
    convert("trivia_qa", Path("made"), source("trivia_qa", rows))
    answers = [x.answers for x in read_questions(Path("made/train.jsonl"))]
    assert answers == [("Paris",), ("Paris", "Lutetia")]


def test_exports_without_null_fields_are_read():
    rows = [{k: x for k, x in row.items() if x is not None} for row in ROWS["oasst2"]]
    assert convert("oasst2", Path("made"), source("oasst2", rows))["train"] == (1, 0)


def test_parquet_is_read_and_files_are_kept():
    pandas = pytest.importorskip("pandas")
    for split in DATASETS["oasst2"].splits:
        pandas.DataFrame(ROWS["oasst2"]).to_parquet(f"{split}.parquet")
    counts = convert("oasst2", Path("made"), Path("."))
    assert counts == {"train": (1, 0), "test": (1, 0)}
    with pytest.raises(InputError, match="exists"):
        convert("oasst2", Path("made"), Path("."))


def test_all_parquet_files_with_names_of_the_hub_are_read_in_order():
    pandas = pytest.importorskip("pandas")
    for split in ("train", "test"):
        for part in (1, 0):
            rows = [{"question": f"{split} {part}?", "answer": "#### 1"}]
            pandas.DataFrame(rows).to_parquet(f"{split}-0000{part}-of-00002.parquet")
    assert convert("gsm8k", Path("made"), Path(".")) == {"train": (2, 0), "test": (2, 0)}
    texts = [x.text for x in read_questions(Path("made/train.jsonl"))]
    assert texts == ["train 0?", "train 1?"]


def test_wrong_input_is_named():
    with pytest.raises(InputError, match=r"no train\.jsonl, no train\.parquet and no train-\*"):
        convert("gsm8k", Path("made"), Path("."))
    for row in ({"question": "Two?"}, {"question": "Two?", "answer": 2}):
        with pytest.raises(InputError, match=r"1 rows without.*columns `question` and `answer`"):
            convert("gsm8k", Path("made"), source("gsm8k", [row]))
    with pytest.raises(InputError, match="gives no questions"):
        convert("oasst2", Path("made"), source("oasst2", [message("root", None, "Hello?")]))
    Path("source/train.jsonl").write_text("[\n{}\n]")
    with pytest.raises(InputError, match=r"is a JSON array\. Each line must be one JSON object"):
        convert("gsm8k", Path("made"), Path("source"))


def test_a_failure_leaves_no_file():
    folder = source("gsm8k", ROWS["gsm8k"])
    rows = Path("source/test.jsonl").read_text()
    Path("source/test.jsonl").write_text("{")
    with pytest.raises(InputError, match="line 1"):
        convert("gsm8k", Path("made"), folder)
    assert not Path("made").exists()
    Path("source/test.jsonl").write_text(rows)
    Path("made/.test.jsonl.part").mkdir(parents=True)  # so that this file cannot be written
    with pytest.raises(WriteError, match="made could not be written"):
        convert("gsm8k", Path("made"), folder)
    assert not Path("made/train.jsonl").exists()


def test_without_a_network_a_folder_is_advised(monkeypatch):
    def offline(*_, **__):
        raise InputError("Check data.path") from OSError("Couldn't reach the Hub")
        yield

    monkeypatch.setattr(questions, "hub_rows", offline)
    with pytest.raises(InputError, match=r"Couldn't reach the Hub.*--source FOLDER") as error:
        convert("gsm8k", Path("made"))
    assert "data.path" not in str(error.value)


def run(*words: str, flags: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    script = Path(questions.__file__)
    return subprocess.run(
        [sys.executable, *flags, str(script), *words, "--source", "source"],
        capture_output=True, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip


def test_the_command():
    source("gsm8k", [*ROWS["gsm8k"], *ODD["gsm8k"]])
    done = run("gsm8k", "made")
    assert done.returncode == 0
    assert "made: 1 rows in train.jsonl, 1 rows in test.jsonl; 10 rows left out" in done.stdout
    row = json.loads(Path("made/train.jsonl").read_text())
    assert row["text"] == "Two and three?"
    Path("file").touch()
    wrong = run("gsm8k", "file")
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr
    assert "file cannot be written" in wrong.stderr


def test_messages_need_no_docstrings():
    Path("source").mkdir()
    write_jsonl(Path("source/train.jsonl"), [{}])
    wrong = run("oasst2", "made", flags=("-OO",))
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr
    assert "needs the columns `message_id`" in wrong.stderr
