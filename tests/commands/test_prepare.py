"""`minillm data prepare`: equal to what training reads, whole after a kill, and what is dropped."""

import json
import subprocess
import sys
import time
from pathlib import Path

import huggingface_hub
import pytest

from minillm.commands.loading import encode_splits
from minillm.config import Config, DataConfig, MiniLLMConfig
from minillm.data import blocks, documents
from minillm.data.blocks import prepare
from minillm.data.loaders import load_records
from minillm.data.plain_text import block_file
from minillm.data.tokenizers import load_tokenizer
from tests.conftest import COLOURS, rows, write_jsonl

PLAIN_TEXT = ["method.lm_coef=1", "method.lm_length=16", "method.lm_batch_size=2"]


@pytest.fixture
def prepared(command, settings, teacher):
    """Runs `minillm data prepare` with the tokenizer of the tiny teacher; returns its output."""

    def run(*words, status=0):
        outcome = command("data", "prepare", *settings, f"student.path={teacher}/best", *words)
        assert outcome.status == status, outcome.err
        return outcome.out if status == 0 else outcome.err

    return run


def write_text(file, lines):
    """Documents of different lengths; some hold a newline, and some lines are empty."""
    with file.open("w", encoding="utf-8") as text:
        for i in range(lines):
            words = " ".join(COLOURS[(i * j) % 7] for j in range(i % 11))
            text.write(f"{words}<@x(x!>{i}\n" if i % 3 else f"{words}\n")


def test_blocks_do_not_depend_on_workers_and_training_reads_them(
    prepared, command, settings, teacher, tmp_path, monkeypatch
):
    write_text(tmp_path / "text.txt", 200)
    options = [*PLAIN_TEXT, "data.plain_text=text.txt"]
    monkeypatch.setattr(documents, "CHUNK", 500)  # about 15 chunks
    for workers in (1, 3):
        prepared(*options, f"data.plain_text_cache=by{workers}", "--workers", workers)
    first, second = (next(tmp_path.glob(f"by{workers}/*.npy")) for workers in (1, 3))
    assert first.name == second.name and first.read_bytes() == second.read_bytes()
    record = json.loads(first.with_suffix(".json").read_text())
    assert (record["lines"], record["documents"], record["empty_lines"]) == (200, 193, 7)
    assert record["tokens"] == 16 * record["blocks"] + record["unused_tokens"]
    assert "exists already" in prepared(*options, "data.plain_text_cache=by3")

    def build(*_):
        raise AssertionError("training has tokenised the text")

    monkeypatch.setattr(blocks, "_write", build)
    models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best", "method=kd"]
    trained = command("train", *settings, *models, *options, "data.plain_text_cache=by3")
    assert trained.status == 0, trained.err
    assert "loss/plain_text" in Path("runs/unnamed/metrics.jsonl").read_text()


KILLED = """
import multiprocessing, os, signal, sys
from pathlib import Path
from minillm.config import Config, DataConfig, MiniLLMConfig
from minillm.data import blocks, documents
from minillm.data.plain_text import block_file
from minillm.data.tokenizers import load_tokenizer
documents.CHUNK, blocks.STATE_SECONDS = 500, 0
tokenizer = load_tokenizer(sys.argv[1])
data = DataConfig(plain_text="text.txt")
config = Config(data=data, method=MiniLLMConfig(lm_coef=1.0, lm_length=16))
work = blocks.prepare(block_file(config, tokenizer), tokenizer, workers=1)
for _ in range(5):
    next(work)
print(multiprocessing.active_children()[0].pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_preparation_goes_on_and_leaves_no_process(teacher, tmp_path, monkeypatch):
    write_text(tmp_path / "text.txt", 200)
    monkeypatch.chdir(tmp_path)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, teacher / "best"], stdout=subprocess.PIPE, text=True
    )
    assert killed.returncode == -9
    worker = Path("/proc", killed.stdout.strip())
    tokenizer, method = load_tokenizer(f"{teacher}/best"), MiniLLMConfig(lm_coef=1.0, lm_length=16)

    def written(cache):
        data = DataConfig(plain_text="text.txt", plain_text_cache=cache)
        to_write = block_file(Config(data=data, method=method), tokenizer)
        for _ in prepare(to_write, tokenizer):
            pass
        return to_write.path.read_bytes()

    (part,) = tmp_path.glob(".*.part")
    assert not list(tmp_path.glob("*.npy")) and part.stat().st_size > 500
    starts = []
    spans = documents.spans
    monkeypatch.setattr(blocks, "spans", lambda *given: starts.append(given[1]) or spans(*given))
    assert written(None) == written("whole")
    assert starts[0] > 1500 and starts[1] == 0
    deadline = time.monotonic() + 20
    while worker.exists() and "Z" not in (worker / "stat").read_text().split()[2]:
        assert time.monotonic() < deadline, "the worker still runs"
        time.sleep(0.1)


FAULTY_TEXT = [
    b'{"text": "red blue green"}',
    b"",
    b'{"text": ',
    b'{"text": 5}',
    b'{"text": "\\ud800"}',
    b'{"text": "\xff"}',
    b'{"text": " "}',
    b'{"text": "white black amber red blue green white black amber"}',
]


def test_faults_of_plain_text_are_refused_or_counted(prepared, command, settings, teacher, caplog):
    Path("text.jsonl").write_bytes(b"\n".join(FAULTY_TEXT))
    options = [*PLAIN_TEXT, "method.lm_length=4", "data.plain_text=text.jsonl", "--workers", "1"]
    message = prepared(*options, status=2)
    assert "text.jsonl, line 3: " in message and "--drop-malformed" in message
    assert not list(Path().glob("*.npy")) and not list(Path().glob(".*.part"))
    out = prepared(*options, "--drop-malformed")
    assert "2 documents" in out
    assert (
        "dropped lines: 2 without text, 3 malformed (line 3; line 4; line 5), 1 not UTF-8 (line 6)"
    ) in out
    models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best", "method=kd"]
    trained = command("train", *settings, *models, *options[:-2])
    assert trained.status == 0, trained.err
    assert "not in the blocks: 3 malformed (line 3; line 4; line 5), 1 not UTF-8" in caplog.text


FAULTY_ROWS = [
    *(json.dumps(row).encode() for row in rows(12)),
    b'{"instruction": "no response"}',
    b'{"instruction": "empty", "output": " "}',
    b'{"output": "no instruction"}',
    b'{"instruction": "cut", ',
    b'["a list"]',
    b'{"instruction": "\xff", "output": "a"}',
    json.dumps({"instruction": "long " * 40, "output": "a"}).encode(),
    json.dumps(rows(1)[0]).encode(),  # an input that the first line has, too
]
WAYS = {
    "paper": (["data.hold_out=first", "data.duplicates=keep", "data.tokenize=joint"], 9, 0),
    "merged": ([], 9, 1),
}


@pytest.mark.parametrize(("options", "inputs", "merged"), WAYS.values(), ids=WAYS.keys())
def test_splits_are_those_of_training(prepared, teacher, data_folder, options, inputs, merged):
    Path("raw").mkdir()
    Path("raw/train.jsonl").write_bytes(b"\n".join(FAULTY_ROWS))
    Path("raw/test.jsonl").write_bytes((data_folder / "test.jsonl").read_bytes())
    options = ["data.path=raw", "data.validation_size=4", *options, "--output", "new"]
    message = prepared(*options, status=2)
    assert "raw/train.jsonl, line 13: " in message and "--drop-malformed" in message
    assert not Path("new").exists()
    out = prepared(*options, "--drop-malformed")
    record = json.loads(Path("new/preparation.json").read_text())
    counts = {fault: each["count"] for fault, each in record["dropped_rows"].items()}
    assert counts == {
        "without a response": 2, "without a prompt": 1, "malformed": 2, "not UTF-8": 1
    }  # fmt: skip
    assert record["dropped_rows"]["not UTF-8"]["first"] == ["raw/train.jsonl, line 18"]
    assert "1 not UTF-8 (raw/train.jsonl, line 18)" in out
    splits = record["splits"]
    assert splits["train"]["inputs"] == inputs
    assert sum(split["dropped_prompts"] for split in splits.values()) == 1
    assert sum(split["merged_rows"] for split in splits.values()) == merged

    tokenizer = load_tokenizer(f"{teacher}/best")

    def examples(data, dropped=None):
        records = load_records(data, ("train", "validation", "test"), dropped)
        config = Config(data=data, method=MiniLLMConfig())
        return {k: v.examples for k, v in encode_splits(records, tokenizer, config).items()}

    raw = DataConfig(**record["data"])
    names = {split: f"{split}.jsonl" for split in splits}
    assert examples(DataConfig(**record["data"] | names | {"path": "new"})) == examples(raw, {})


def test_nothing_is_overwritten_and_a_part_is_completed(prepared, data_folder, monkeypatch):
    output = ["--output", "new"]
    with monkeypatch.context() as patch:  # the first process of a launcher writes
        patch.setenv("RANK", "1")
        assert prepared(*output) == "" and not Path("new").exists()
    first = prepared(*output)
    times = {path: path.stat().st_mtime_ns for path in Path("new").glob("*.json*")}
    assert "data.validation=validation.jsonl" in first and len(times) == 4
    assert "new is complete" in prepared(*output)
    assert times == {path: path.stat().st_mtime_ns for path in Path("new").glob("*.json*")}
    Path("new/test.jsonl").unlink()
    assert "written: new/test.jsonl\n" in prepared(*output)
    Path("new/test.jsonl").unlink()
    assert "new/preparation.json, new/test.jsonl\n" in prepared(*output, "data.name=other")
    assert json.loads(Path("new/preparation.json").read_text())["data"]["name"] == "other"
    assert "train.jsonl holds other data" in prepared(*output, "data.seed=1", status=2)
    Path("new/notes.txt").write_text("")
    assert "files of something else (notes.txt)" in prepared(*output, status=2)
    assert "(test.jsonl, train.jsonl)" in prepared("--output", data_folder, status=2)


def test_dolly_comes_from_the_cache_of_the_hub(command, teacher, tmp_path, monkeypatch):
    """Offline, a data set that was not downloaded is refused without a request."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    words = ["data", "prepare", "data=dolly", "data.validation_size=10", "--output", "new",
             f"student.path={teacher}/best"]  # fmt: skip
    refused = command(*words)
    assert refused.status == 2 and "'MiniLLM/dolly'" in refused.err
    assert "HF_HUB_OFFLINE" in refused.err and "data.validation=validation.jsonl" in refused.err
    folder = tmp_path / "hub/datasets--MiniLLM--dolly"
    snapshot = folder / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs/main").write_text("0" * 40)
    write_jsonl(snapshot / "raw.jsonl", rows(30))
    write_jsonl(snapshot / "valid.jsonl", rows(40)[30:])
    assert command(*words).status == 0
    record = json.loads(Path("new/preparation.json").read_text())
    inputs = {name: split["inputs"] for name, split in record["splits"].items()}
    assert inputs == {"train": 20, "validation": 10, "test": 10}
    assert f"snapshots/{'0' * 40}/raw.jsonl" in record["sources"][0]["path"]
    written = Path("new/validation.jsonl").read_text().splitlines()
    assert [json.loads(line)["instruction"] for line in written] == [
        row["instruction"] for row in rows(10)
    ]
