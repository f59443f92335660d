"""scripts/system2/questions.py: rows with the columns of public data sets become questions."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from minillm.errors import InputError
from minillm.system2.extractors import EXTRACTORS, is_right
from minillm.system2.question import read_questions
from scripts.system2.questions import DATASETS, convert
from tests.conftest import write_jsonl


def message(name: str, parent: str | None, text: str, rank: int | None = None, lang: str = "en"):
    role = "prompter" if parent is None else "assistant"
    return {"message_id": name, "parent_id": parent, "text": text, "role": role, "lang": lang,
            "rank": rank}  # fmt: skip


ROWS = {
    "gsm8k": [{"question": "Two and three?", "answer": "2 + 3 = <<2+3=5>>5\n#### 5"}],
    "trivia_qa": [
        {"question": "Which city has the Louvre?", "question_id": "tc_1",
         "answer": {"value": "Paris", "aliases": ["Paris", "Paris, France"], "type": "Entity"}},
    ],
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


@pytest.mark.parametrize("name", DATASETS)
def test_each_data_set_gives_questions(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert convert(name, Path("made"), source(name, ROWS[name])) == {"train": 1, "test": 1}
    (question,) = read_questions(Path("made/test.jsonl"))
    if name == "gsm8k":
        assert is_right("5", question.answers, EXTRACTORS["number"])
    elif name == "trivia_qa":
        assert (question.id, question.answers) == ("tc_1", ("Paris", "Paris, France"))
    else:
        assert question.text == "Hello?" and {*question.candidates} == {"Good.", "Bad."}
        assert question.candidates["AB".index(question.answers[0])] == "Good."


def test_parquet_is_read_and_files_are_kept(tmp_path, monkeypatch):
    pandas = pytest.importorskip("pandas")
    monkeypatch.chdir(tmp_path)
    for split in DATASETS["oasst2"].splits:
        pandas.DataFrame(ROWS["oasst2"]).to_parquet(f"{split}.parquet")
    assert convert("oasst2", Path("made"), Path(".")) == {"train": 1, "test": 1}
    with pytest.raises(InputError, match="exists"):
        convert("oasst2", Path("made"), Path("."))


def test_wrong_input_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=r"neither train\.jsonl nor train\.parquet"):
        convert("gsm8k", Path("made"), Path("."))
    with pytest.raises(InputError, match="needs the columns `question` and `answer`"):
        convert("gsm8k", Path("made"), source("gsm8k", [{"question": "Two?"}]))
    with pytest.raises(InputError, match="gives no questions"):
        convert("oasst2", Path("made"), source("oasst2", [message("root", None, "Hello?")]))


def test_the_command(tmp_path):
    script = Path(__file__).parents[2] / "scripts/system2/questions.py"
    for split in DATASETS["gsm8k"].splits:
        write_jsonl(tmp_path / f"{split}.jsonl", ROWS["gsm8k"])

    def run(*words: str) -> subprocess.CompletedProcess:
        command = [sys.executable, str(script), *words, "--source", str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True)

    done = run("gsm8k", str(tmp_path / "made"))
    assert done.returncode == 0 and "1 rows in train.jsonl, 1 rows in test.jsonl" in done.stdout
    row = json.loads((tmp_path / "made/train.jsonl").read_text())
    assert row["text"] == "Two and three?"
    wrong = run("oasst2", str(tmp_path / "others"))
    assert wrong.returncode == 2 and "Traceback" not in wrong.stderr
