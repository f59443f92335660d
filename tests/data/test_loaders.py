"""Reading of data sets, and error messages that name the file, the line and the field."""

import json
from pathlib import Path

import pytest
from datasets import Dataset

from minillm.config import DataConfig
from minillm.data.loaders import load_records
from minillm.data.records import Record
from minillm.errors import InputError
from tests.conftest import BUILT, rows, write_jsonl

GOOD = b'{"instruction": "a", "output": "b"}\n'
MALFORMED = {
    "empty": (b"", ["train split is empty", "bad.jsonl", "at least one row"]),
    "blank": (b"\n\n", ["train split is empty", "bad.jsonl"]),
    "cut": (GOOD + b'{"instruction": \n', ["bad.jsonl, line 2", "not valid JSON", "column"]),
    "list": (GOOD + b'["a"]\n', ["bad.jsonl, line 2", "is a list", "one JSON object"]),
    "no instruction": (b'{"output": "b"}\n', ["line 1", "'instruction'", "'output'", "data.col"]),
    "no output": (b'{"instruction": "b"}\n', ["line 1", "'output' is missing", "data.columns"]),
    "no reference": (b'{"instruction": "a", "output": []}\n', ["line 1", "no reference", "one"]),
    "blank output": (b'{"instruction": "a", "output": " "}\n', ["line 1", "no reference"]),
    "number": (b'{"instruction": "a", "output": 3}\n', ["line 1", "a text or a list of texts"]),
    "number asked": (b'{"instruction": 3, "output": "a"}\n', ["line 1", "must be a text", "int"]),
    "half a character": (b'{"instruction": "\\ud83d", "output": "a"}\n', ["line 1", "half of"]),
    "latin-1": (b'{"instruction": "\xe9", "output": "a"}\n', ["bad.jsonl", "UTF-8", "0xe9"]),
}


@pytest.mark.parametrize(("content", "parts"), MALFORMED.values(), ids=MALFORMED.keys())
def test_malformed_jsonl_is_refused(refused, tmp_path, content, parts):
    (tmp_path / "bad.jsonl").write_bytes(content)
    message = refused(*BUILT, f"data.path={tmp_path}", "data.train=bad.jsonl")
    assert [part for part in parts if part not in message] == [], message


CSV = {
    "other columns": (b"mr,ref\na,b\n", ["bad.csv, line 2", "'instruction'", "'mr', 'ref'"]),
    "latin-1": (b"instruction,output\n\xe9,b\n", ["bad.csv", "UTF-8"]),
    "short row": (b"instruction,output\na\n", ["bad.csv, line 2", "'output' is missing"]),
    "huge field": (b"instruction,output\n" + b"x" * 200_000, ["bad.csv", "field limit"]),
}


@pytest.mark.parametrize(("content", "parts"), CSV.values(), ids=CSV.keys())
def test_malformed_csv_is_refused(refused, tmp_path, content, parts):
    (tmp_path / "bad.csv").write_bytes(content)
    message = refused(*BUILT, "data.kind=csv", f"data.path={tmp_path}", "data.train=bad.csv")
    assert [part for part in parts if part not in message] == [], message


@pytest.mark.parametrize(
    ("override", "parts"),
    {
        "data.train=gone.jsonl": ["gone.jsonl", "data.path"],
        "data.path=gone": ["file or folder gone", "data.path"],
        "data.validation_size=30": ["data.validation_size=30", "30 inputs", "smaller"],
        "data.columns.references=answer": ["'answer' is missing", "'output'", "data.columns"],
    }.items(),
)
def test_missing_files_and_columns_are_refused(refused, override, parts):
    message = refused(*BUILT, override)
    assert [part for part in parts if part not in message] == [], message


def test_file_names_are_refused_if_the_path_is_a_file(refused, data_folder):
    message = refused(*BUILT, f"data.path={data_folder}/train.jsonl")
    assert "data.train=train.jsonl" in message and "data.train=null" in message


def read(path, split="train", **settings):
    config = DataConfig(path=str(path), **settings)
    return load_records(config, {split})[split]


def test_csv_rows_with_the_same_input_become_one_record(tmp_path):
    """The order of the file is kept; byte-order marks and line breaks in fields are allowed."""
    file = tmp_path / "a.csv"
    file.write_text('mr,ref\na,"one\nline"\nb,two\na,three\na,three\n', encoding="utf-8-sig")
    records = read(file, "test", kind="csv", columns={"instruction": "mr", "references": "ref"})
    assert records == [Record("a", ("one\nline", "three")), Record("b", ("two",))]


def test_several_references_are_kept(tmp_path):
    lines = [
        {"instruction": "a", "output": ["x", " y ", ""], "topic": "t"},
        {"instruction": "b", "prompt": "", "output": "z"},
    ]
    assert read(write_jsonl(tmp_path / "a.jsonl", lines), "test", kind="jsonl") == [
        Record("a", ("x", "y"), topic="t"),
        Record("b", ("z",)),
    ]


def test_held_out_splits_are_the_same_for_a_seed_and_share_no_input(tmp_path):
    duplicated = [*rows(30), *rows(30)]
    config = DataConfig(
        kind="jsonl", path=str(write_jsonl(tmp_path / "a.jsonl", duplicated)), validation_size=6
    )
    splits = load_records(config, {"train", "validation"})
    assert splits == load_records(config, {"train", "validation"})
    inputs = {name: {(r.instruction, r.input) for r in part} for name, part in splits.items()}
    assert len(inputs["train"]) == 24 and len(inputs["validation"]) == 6
    assert not inputs["train"] & inputs["validation"]
    config.seed = 1
    assert splits["validation"] != load_records(config, {"validation"})["validation"]


@pytest.mark.parametrize("seed", [0, 1])
def test_the_first_rows_are_held_out_as_they_are(tmp_path, seed):
    """The official code holds out the first lines of raw.jsonl, with `--dev-num`."""
    lines = [{"instruction": x, "output": str(i)} for i, x in enumerate("abcabdbea")]
    file = write_jsonl(tmp_path / "a.jsonl", lines)
    options = {"kind": "jsonl", "path": str(file), "hold_out": "first", "seed": seed}
    splits = load_records(
        DataConfig(**options, validation_size=5, duplicates="keep"), {"train", "validation"}
    )
    asked = {split: [record.instruction for record in splits[split]] for split in splits}
    assert asked == {"validation": [*"abcab"], "train": [*"dbea"]}
    merged = load_records(DataConfig(**options, validation_size=5), {"train", "validation"})
    assert merged["validation"][0] == Record("a", ("0", "3"))
    assert merged["train"] == splits["train"]
    with pytest.raises(InputError, match=r"validation_size=9 leaves no training data.*9 rows"):
        load_records(DataConfig(**options, validation_size=9), {"train"})


def test_rows_with_the_same_input_are_kept_and_are_in_one_split(tmp_path):
    """DollyEval has 500 rows and 499 inputs; the official code scores all rows."""
    file = write_jsonl(tmp_path / "a.jsonl", [*rows(9), *rows(9)])
    config = DataConfig(kind="jsonl", path=str(file), duplicates="keep", validation_size=6)
    assert len(read(file, "test", kind="jsonl", duplicates="keep")) == 18
    splits = load_records(config, {"train", "validation"})
    asked = {split: {record.question for record in part} for split, part in splits.items()}
    assert {split: len(part) for split, part in splits.items()} == {"train": 12, "validation": 6}
    assert len(asked["validation"]) == 3 and not asked["train"] & asked["validation"]


def test_hub_kind_reads_a_local_folder(data_folder, tmp_path):
    """A file may belong to no split of the data set, as raw.jsonl of Dolly."""
    local = read(data_folder / "train.jsonl", "test", kind="jsonl")
    assert read(data_folder, "test", kind="hub", test="train") == local
    write_jsonl(tmp_path / "raw.jsonl", rows(30))
    (tmp_path / "raw.txt").write_text("text\n")
    assert read(tmp_path, "test", kind="hub", test="raw.jsonl") == local


@pytest.mark.parametrize(
    ("path", "split", "parts"),
    [
        ("nobody/nothing", "train", ["'nobody/nothing'", "data.path", "network"]),
        (None, "dev", ["'dev'", "'train', 'test'", "data.test"]),
    ],
)
def test_hub_data_that_cannot_be_loaded_is_refused(data_folder, path, split, parts):
    with pytest.raises(InputError) as error:
        read(path or data_folder, "test", kind="hub", test=split)
    assert [part for part in parts if part not in str(error.value)] == [], error.value


@pytest.fixture(scope="module")
def formats(tmp_path_factory):
    """A folder with the same rows in each format of files."""
    folder = tmp_path_factory.mktemp("formats")
    # In a parquet file, all rows have the same columns, and a column has one type.
    lines = [{"instruction": f"Say {i}", "input": "", "output": ["a", str(i)]} for i in range(6)]
    write_jsonl(folder / "jsonl.jsonl", lines)
    (folder / "json.json").write_text(json.dumps(lines, indent=1))
    Dataset.from_list(lines).to_parquet(folder / "parquet.parquet")
    return folder


@pytest.mark.parametrize("kind", ["jsonl", "json", "parquet"])
def test_formats_are_read_by_name_and_by_ending(formats, kind):
    expected = read(formats / "jsonl.jsonl", kind="jsonl", validation_size=1)
    assert len(expected) == 5
    for name in (kind, "files"):
        assert read(formats / f"{kind}.{kind}", kind=name, validation_size=1) == expected


def test_the_files_of_a_folder_are_found_by_the_names_of_the_splits(command, settings, tmp_path):
    write_jsonl(tmp_path / "train.jsonl", rows(20))
    table = "instruction,output\n" + "".join(f"{row['instruction']},x\n" for row in rows(22)[18:])
    Path("test.CSV").write_text(table)
    files = ["data.kind=files", "data.path=.", "data.train=null", "data.test=null"]
    shown = command("data", *settings, *BUILT, *files)
    assert shown.status == 0 and "test: 4 inputs" in shown.out
    assert "0 of 5 validation inputs occur in the training data" in shown.out
    Path("train.json").write_text("[]")
    refused = command("data", *settings, *BUILT, *files)
    assert refused.status == 2 and "has train.json, train.jsonl" in refused.err


def test_a_template_or_the_ready_prompts_make_the_prompts(tmp_path):
    """`data.template` says which; a ready prompt is not used only because it is there."""
    lines = [
        {"prompt": "ask", "completion": "b", "instruction": "i"},
        {"prompt": "c", "completion": "d"},
    ]
    file = write_jsonl(tmp_path / "a.jsonl", lines)
    answer = {"references": "completion"}
    assert read(file, "test", kind="jsonl", template="ready", columns=answer) == [
        Record("i", ("b",), prompt="ask"),
        Record("", ("d",), prompt="c"),
    ]
    columns = answer | {"instruction": "prompt"}
    for template in ("plain", "chat"):
        records = read(file, "test", kind="jsonl", template=template, columns=columns)
        assert records == [Record("ask", ("b",)), Record("c", ("d",))]
    with pytest.raises(InputError, match=r"line 2: 'instruction' is missing.*template=ready"):
        read(file, "test", kind="jsonl", template="chat", columns=answer)


def test_ready_prompts_with_the_same_text_are_one_input(tmp_path):
    lines = [{"prompt": "ask", "output": "a", "instruction": str(i)} for i in range(2)]
    file = write_jsonl(tmp_path / "a.jsonl", lines)
    assert len(read(file, "test", kind="jsonl", template="ready")) == 1
    assert len(read(file, "test", kind="jsonl")) == 2


def test_a_template_of_the_teacher_needs_an_instruction(tmp_path):
    file = write_jsonl(tmp_path / "a.jsonl", [{"prompt": "ask", "output": "a"}])
    settings = {"kind": "jsonl", "template": "ready", "teacher_template": "demonstration"}
    with pytest.raises(InputError, match=r"line 1: data\.teacher_template=demonstration needs"):
        read(file, "test", **settings)


def test_rows_with_the_same_input_are_counted(command, settings, tmp_path):
    lines = [*rows(25), *rows(5)]
    write_jsonl(tmp_path / "train.jsonl", lines)
    overrides = ["data.path=.", "data.test=train.jsonl"]
    shown = command("data", *settings, *BUILT, *overrides)
    assert shown.status == 0, shown.err
    expected = "test: 30 rows, 25 inputs, 34 references: 5 rows have the input of another row\n"
    assert expected in shown.out


def test_inputs_of_the_training_data_in_another_split_are_counted(command, settings, tmp_path):
    """White space is not compared, and neither are the responses."""
    write_jsonl(tmp_path / "train.jsonl", rows(20))
    seen = [{"instruction": " Mix  red number 0", "output": "new"}, *rows(2)[1:]]
    write_jsonl(tmp_path / "other.jsonl", [*seen, {"instruction": "new", "output": "x"}])
    overrides = ["data.path=.", "data.test=other.jsonl", "data.validation=other.jsonl"]
    settings = [each for each in settings if "validation_size" not in each]
    shown = command("data", *settings, *BUILT, *overrides)
    assert "2 of 3 test inputs occur in the training data" in shown.out, shown.err
    assert "2 of 3 validation inputs occur in the training data" in shown.out


def test_exported_data_can_be_read(command, settings, data_folder):
    assert command("data", *settings, *BUILT, "--export", "copy").status == 0
    original = read(data_folder / "test.jsonl", "test", kind="jsonl")
    assert read("copy/test.jsonl", "test", kind="jsonl") == original and len(original) == 10
    again = command("data", *settings, *BUILT, "--export", "copy")
    assert again.status == 2 and "copy is not empty" in again.err


def test_the_export_keeps_the_names_and_the_teachers_prompts_of_rows(command, settings, tmp_path):
    lines = [
        {"instruction": f"Say {i}", "output": str(i), "id": f"row-{i}", "teacher_prompt": f"{i}!"}
        for i in range(10)
    ]
    write_jsonl(tmp_path / "train.jsonl", lines)
    overrides = [*settings, *BUILT, "data.path=.", "data.test=train.jsonl"]
    assert command("data", *overrides, "--export", "copy").status == 0
    exported = read("copy/test.jsonl", "test", kind="jsonl")
    assert [record.id for record in exported] == [line["id"] for line in lines]
    assert all(record.teacher_prompt == f"{record.references[0]}!" for record in exported)
