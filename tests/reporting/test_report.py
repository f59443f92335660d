"""The report as a whole, from fabricated runs to files."""

import csv
import io
import json
import subprocess
import sys

import pytest
from PIL import Image

from minillm.errors import InputError
from minillm.reporting.groups import group_results
from minillm.reporting.report import write_report
from minillm.reporting.results import load_results
from minillm.reporting.table import CSV_COLUMNS, csv_table, differences_table, markdown_table

FILES = ["results.json", "rouge_l.png", "table.csv", "table.md", "training.png"]


def test_report_files_and_round_trip(runs, tmp_path):
    output = tmp_path / "results" / "both"
    table = write_report([runs], output, title="Both")
    assert sorted(file.name for file in output.iterdir()) == FILES
    first = {name: (output / name).read_bytes() for name in FILES}
    text = first["table.md"].decode()
    assert text.startswith(f"# Both\n\n{table}\n")
    for fact in ("abc1234", "torch 2.13.0", "2 cores", "`minillm evaluate sft e2e`", "2026-11-21"):
        assert fact in text.partition("## Provenance")[2]
    for name in ("rouge_l.png", "training.png"):
        assert Image.open(io.BytesIO(first[name])).width > 600
        assert len(first[name]) < 150_000
    assert all(result["config"] == {"lr": 0.0000051234} for result in json.loads(first[FILES[0]]))

    again = tmp_path / "again"
    write_report([output / "results.json"], again, title="Both")
    write_report([output], output, title="Both")  # in place, from the report alone
    for folder in (again, output):
        assert {name: (folder / name).read_bytes() for name in FILES} == first


def test_csv_has_one_row_for_each_run(runs):
    rows = list(csv.DictReader(io.StringIO(csv_table(load_results([runs])))))
    assert list(rows[0]) == list(CSV_COLUMNS)
    assert (
        rows[0]["method"] == "teacher" and rows[0]["reverse_kl"] == rows[0]["greedy_rougeL"] == ""
    )
    assert [row["training_seeds"] for row in rows if row["method"] == "minillm"] == ["1", "1", "2"]
    assert (rows[-1]["data"], rows[-1]["rougeL_mean"], rows[-1]["run"]) == (
        "e2e",
        "48.1",
        "minillm-2",
    )


def test_markdown_marks_the_best_student(result):
    results = [result("teacher", 52), result("sft", 43), result("minillm", 47.1)]
    lines = markdown_table(group_results(results)).splitlines()
    assert len({len(line) for line in lines[:5]}) == 1
    assert "| 52.0 [50.8, 53.2] " in " ".join(lines[2].split())
    assert [line.count("**") for line in lines[2:5]] == [0, 0, 2]
    assert "1.23M" in lines[2] and "Inputs: e2e 40." in lines[-1]
    results.append(result("minillm", 48.1, training_seed=2))
    assert "**47.6 ± 0.7 (2 runs)**" in markdown_table(group_results(results))


def test_differences_pair_the_same_inputs(result):
    results = [result("teacher", 52), result("sft", 43), result("minillm", 47)]
    assert differences_table(group_results(results[:2])) is None
    results[0]["per_input"].pop()
    table = differences_table(group_results(results))
    # Fabricated scores differ by a constant, so there is nothing for pairing to leave over.
    assert "| minillm minus sft | +4.0 [+4.0, +4.0] |" in table
    assert "not compared: minillm minus teacher (e2e)" in table


def test_one_result_without_history(result, tmp_path):
    only = result("minillm", 47)
    only |= {"run": None, "training": None, "greedy": None, "reverse_kl": None, "provenance": {}}
    only["rougeL"]["std"] = None
    (tmp_path / "only.json").write_text(json.dumps(only))
    output = tmp_path / "report"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    write_report([tmp_path / "only.json"], output)
    assert sorted(f.name for f in output.iterdir()) == ["notes.txt", *FILES[:-1]]
    assert "- commands: unknown" in (output / "table.md").read_text()


def test_replaces_only_what_a_report_wrote(result, runs, tmp_path):
    output = tmp_path / "report"
    write_report([runs], output)
    only = result("teacher", 50)
    (tmp_path / "only.json").write_text(json.dumps(only))
    write_report([tmp_path / "only.json"], output)
    assert not (output / "training.png").exists()  # it showed runs that are no longer in the report
    (output / "results.json").unlink()
    with pytest.raises(InputError, match=r"holds rouge_l.png|holds table.md"):
        write_report([runs], output)
    with pytest.raises(InputError, match="is a file"):
        write_report([runs], tmp_path / "only.json")


def test_needs_no_model_library():
    code = (
        "import minillm.reporting.report, sys; print({'torch', 'transformers'} & set(sys.modules))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "set()"
