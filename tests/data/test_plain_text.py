"""Plain text: documents, their blocks, and the memory-mapped file, which is never stale."""

import json
import os
import tracemalloc

import numpy as np
import pytest
from filelock import FileLock

from minillm.config import Config, DataConfig, MiniLLMConfig
from minillm.data import blocks, documents
from minillm.data.blocks import prepare
from minillm.data.documents import read_documents, spans
from minillm.data.plain_text import block_file, load_plain_text
from minillm.data.tokenizers import train_tokenizer
from minillm.errors import InputError, TrainingError
from minillm.sources.plain_text import BlockPairs
from tests.conftest import COLOURS

TOKENIZER = train_tokenizer(COLOURS, 300)
EOS = TOKENIZER.eos_token_id


@pytest.fixture
def text(tmp_path):
    file = tmp_path / "text.txt"
    file.write_text("red blue<@x(x!>green\n\nwhite\r\nblack amber")
    return file


def config(text, length=4, cache=None):
    data = DataConfig(plain_text=str(text), plain_text_cache=cache and str(cache))
    return Config(data=data, method=MiniLLMConfig(lm_coef=1.0, lm_length=length))


def load(text, length=4, cache=None, tokenizer=TOKENIZER):
    return load_plain_text(config(text, length, cache), tokenizer)


def test_blocks_are_those_of_the_official_code(text):
    """tools/process_data_pretrain.py of microsoft/LMOps, except that it keeps empty lines."""
    ids = []
    with text.open(encoding="utf-8") as lines:
        for line in lines:
            line = line.replace("<@x(x!>", "\n")
            if line != "\n":
                ids += [*TOKENIZER.encode(line, add_special_tokens=False), EOS]
    expected = [ids[i : i + 4] for i in range(0, len(ids) - 3, 4)]
    blocks = load(text)
    assert blocks.ids.tolist() == expected and len(ids) % 4
    # minillm/pipelines.py of microsoft/LMOps: the labels are all tokens but the first.
    pairs = BlockPairs(blocks)
    assert len(pairs) == len(expected)
    assert [[*pair.prompt_ids, *pair.response_ids] for pair in pairs] == expected
    assert {len(pair.prompt_ids) for pair in pairs} == {1}


def test_documents_of_a_jsonl_file_may_hold_newlines_and_the_mark(tmp_path):
    file = tmp_path / "text.jsonl"
    texts = ["red\nblue", " ", "<@x(x!>", "green"]
    file.write_text("\ufeff" + "\n".join(json.dumps({"text": x, "id": 1}) for x in texts) + "\n\n")
    assert read_documents(file).texts == ["red\nblue", "<@x(x!>", "green"]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"[1]", "line 2: there is no 'text'"),
        (b'{"text": 5}', "line 2: there is no 'text'"),
        (b"red", "line 2: Expecting value"),
        (b"[" * 100_000, "line 2: maximum recursion"),
        (b'{"text": "\\ud800"}', "line 2: the text holds half of a character"),
        (b"\xff", "line 2 is not UTF-8"),
    ],
)
def test_a_wrong_line_is_refused_and_leaves_no_file(tmp_path, line, message):
    file = tmp_path / "text.jsonl"
    file.write_bytes(b'{"text": "red blue green white"}\n' + line)
    with pytest.raises(InputError, match=message):
        load(file)
    assert not list(tmp_path.glob("*.npy")) and not list(tmp_path.glob(".*.part"))


def test_the_file_is_memory_mapped_and_written_once(text, tmp_path):
    ids = load(text, cache=tmp_path / "new/cache").ids
    (file,) = (tmp_path / "new/cache").glob("*.npy")
    assert isinstance(ids, np.memmap) and not ids.flags.writeable
    assert ids.dtype == np.uint16  # 300 ids
    assert file.stat().st_size == 128 + 2 * ids.size
    before = file.stat()
    assert load(text, cache=file.parent).ids.tolist() == ids.tolist()
    assert file.stat().st_mtime_ns == before.st_mtime_ns and file.stat().st_ino == before.st_ino
    text = text.rename(tmp_path / "new/text.txt")  # moved, and its file is still known
    assert load(text, cache=file.parent).ids.filename == file
    assert len(list(file.parent.glob("*.npy"))) == 1


def test_a_stale_file_is_not_used(text):
    old, times = load(text), text.stat()
    text.write_bytes(text.read_bytes().replace(b"white", b"green"))  # as long as before
    os.utime(text, ns=(times.st_atime_ns, times.st_mtime_ns))
    new = load(text)
    assert new.checksum != old.checksum and new.ids.tolist() != old.ids.tolist()
    assert load(text, length=5).ids.shape[1] == 5
    other = train_tokenizer(["other words"] * 9, 300)
    assert load(text, tokenizer=other).ids.tolist() != new.ids.tolist()


def test_the_checksum_of_a_tokenizer_does_not_depend_on_its_use(text):
    before = block_file(config(text), TOKENIZER)
    TOKENIZER(["red"] * 2, padding=True, truncation=True, max_length=1)
    assert block_file(config(text), TOKENIZER) == before


def test_memory_does_not_grow_with_the_text(tmp_path, monkeypatch):
    monkeypatch.setattr(documents, "CHUNK", 2_000)
    peaks = []
    for lines in (200, 2000):
        file = tmp_path / f"{lines}.txt"
        file.write_text("red blue green white black amber\n" * lines)
        load(file)  # the first call of a tokenizer allocates more
        next(tmp_path.glob(f"{lines}.*.npy")).unlink()
        tracemalloc.start()
        load(file)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


@pytest.fixture
def saving(monkeypatch):
    """Chunks of one line, and a state after each."""
    monkeypatch.setattr(documents, "CHUNK", 1)
    monkeypatch.setattr(blocks, "STATE_SECONDS", 0)


def hidden(folder):
    return sorted(path.name for path in folder.glob(".*") if path.suffix != ".lock")


def test_an_interrupted_preparation_goes_on(text, saving, monkeypatch):
    whole = load(text, cache=text.parent / "whole").ids
    to_write = block_file(config(text), TOKENIZER)
    work = prepare(to_write, TOKENIZER)
    for _ in range(3):  # the lock, and two lines
        next(work)
    part, state = (text.with_name(f".{to_write.path.name}.{end}") for end in ("part", "state"))
    work.close()  # as Ctrl-C does
    with part.open("ab") as file:  # what was written after the last state is not used
        file.write(b"ids of half a chunk")
    assert not to_write.path.exists() and json.loads(state.read_text())["documents"] == 1
    reads = []
    monkeypatch.setattr(blocks, "spans", lambda *given: reads.append(given[1]) or spans(*given))
    assert load(text).ids.tolist() == whole.tolist()
    assert reads == [len("red blue<@x(x!>green\n\n")] and hidden(text.parent) == []
    assert to_write.path.read_bytes() == whole.filename.read_bytes()


@pytest.mark.parametrize("damage", ["cut ids", "cut state", "no state"])
def test_a_damaged_rest_is_not_used(text, saving, damage):
    to_write = block_file(config(text), TOKENIZER)
    work = prepare(to_write, TOKENIZER)
    for _ in range(3):
        next(work)
    work.close()
    part, state = (text.with_name(f".{to_write.path.name}.{end}") for end in ("part", "state"))
    if damage == "cut ids":
        part.write_bytes(part.read_bytes()[:-1])
    elif damage == "cut state":
        state.write_text("")
    else:
        state.unlink()
    assert load(text).ids.tolist() == load(text, cache=text.parent / "whole").ids.tolist()


def test_a_second_run_waits_for_the_first(text, monkeypatch):
    monkeypatch.setattr(blocks, "LOCK_SECONDS", 0.01)
    to_write = block_file(config(text), TOKENIZER)
    file = to_write.path
    with FileLock(file.with_name(f".{file.name}.lock")):
        work = prepare(to_write, TOKENIZER)
        for _ in range(3):
            next(work)
        file.write_bytes(b"the first run has written this")
    assert list(work) in ([], [None])
    assert file.read_bytes() == b"the first run has written this"


def test_a_full_disk_and_a_damaged_file_are_explained(text, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(blocks.os, "fsync", full)
        with pytest.raises(TrainingError, match=r"No space left .* data.plain_text_cache=FOLDER"):
            load(text)
    assert not list(text.parent.glob("*.npy"))
    file = load(text).ids.filename
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(InputError, match=r"cannot be read: .* delete it"):
        load(text)
