"""Result files: found in folders and reports, read in both formats, and refused with a reason."""

import json
import re
from pathlib import Path

import pytest

from minillm.errors import InputError
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import Result, to_text
from minillm.reporting.comparisons import differences_csv
from minillm.reporting.differences import compare, differences_table
from minillm.reporting.frontier_tables import frontier_text
from minillm.reporting.groups import group_results
from minillm.reporting.results import load_results, rounded
from minillm.reporting.table import markdown_table

RESULTS = Path(__file__).parents[2] / "results"


def read(content: dict) -> Result:
    return Result.from_json(content, "here")


def test_results_are_found_and_sorted(runs):
    results = load_results([runs])
    order = ["teacher", "init", "gkd", "minillm", "seqkd", "sft"]  # students in order of the files
    assert [(r.data, r.method) for r in results] == [
        *(("dolly", method) for method in order),
        *(("e2e", method) for method in [*order[:4], *order[3:]]),
    ]
    one_file = runs / "sft-1" / "evaluation" / "e2e.json"
    sft_first = load_results([one_file, one_file.parent, runs])  # no result is repeated
    assert [r.method for r in sft_first[:4]] == ["teacher", "init", "sft", "gkd"]
    assert len(sft_first) == len(results)
    assert len(load_results([one_file.parent])) == 2


def test_the_reference_comes_last(runs):
    groups = group_results(load_results([runs]), reference="minillm")
    assert [g.label for g in groups if g.data == "e2e"] == [
        "teacher", "init", "gkd", "seqkd", "sft", "minillm"
    ]  # fmt: skip


def test_training_seeds_are_grouped_but_models_and_runs_are_not(result):
    seeds = [result("sft", 40), result("sft", 41, training_seed=2)]
    grouped = group_results([*map(read, seeds)])
    assert [(g.label, len(g.results)) for g in grouped] == [("sft", 2)]
    seeds[1]["model"] = "gpt2 128x2"
    labels = [g.label for g in group_results([*map(read, seeds)])]
    assert labels == ["sft (gpt2 64x2)", "sft (gpt2 128x2)"]
    same_seed = [result("sft", 40), result("sft", 41)]
    same_seed[1]["run"]["name"] = "sft-low-lr"
    labels = [g.label for g in group_results([*map(read, same_seed)])]
    assert labels == ["sft (sft-1)", "sft (sft-low-lr)"]


def test_a_result_is_the_same_after_writing_and_reading(result):
    content = result("sft", 40) | {"of another program": {"kept": True}}
    assert read(content).to_json() == content
    text = to_text(content)
    assert json.loads(text) == content
    per_input = [line for line in text.splitlines() if '"per_input": [' in line]
    assert len(per_input) == 4 and per_input[0].endswith("],")  # one line for each metric


def test_the_old_format_is_read(old_result):
    old = old_result("sft", 40.0)
    new = read(old)
    rouge = new.metric("rougeL")
    assert (rouge.mean, rouge.std, rouge.ci_low, rouge.ci_high) == (40.0, 0.3, 38.75, 41.25)
    assert rouge.greedy == 45.0 and rouge.per_seed == {"10": 39.9, "20": 40.1}
    assert rouge.per_input == old["per_input"]
    means = {name: metric.mean for name, metric in new.metrics.items()}
    assert means == {"rougeL": 40.0, "length": 28.1, "unfinished": 0.001, "empty": 0.0,
                     "reverse_kl": 0.4}  # fmt: skip
    assert new.metric("length").greedy == 27.3 and new.metric("length").per_input is None
    assert new.metric("exact_match") is None
    assert (new.training_seed, new.training.best_step, new.run_name) == (1, 200, "sft-1")
    again = new.to_json()
    assert again["format"] == 2 and read(again) == new
    old["reverse_kl"], old["greedy"] = None, None
    assert read(old).metric("reverse_kl") is read(old).metric("rougeL").greedy is None


def rows(text: str) -> list[list[str]]:
    """The cells of all Markdown tables of a text."""
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return [row for row in cells if not set("".join(row)) <= set("-:| ")]


def given_diversities(stored: str) -> list[float] | None:
    """The diversities of a table; None if the report chose them for each pair of methods."""
    chosen: dict[str, list[float]] = {}
    for _, methods, diversity, *_ in rows(stored.split("at equal diversity")[1])[1:]:
        chosen.setdefault(methods, []).append(float(diversity))
    first, *others = chosen.values()
    return first if all(other == first for other in others) else None


@pytest.mark.parametrize("report", sorted(RESULTS.rglob("results.json")), ids=str)
def test_the_stored_reports_have_the_same_numbers(report):
    """A report made from the stored results has the rows of the stored tables."""
    stored = report.with_name("table.md").read_text()
    reference = re.search("^## (.+) against the others$", stored, re.MULTILINE)[1].lower()
    groups = group_results(load_results([report]), reference)
    metrics = [METRICS["rougeL"]]
    comparisons = compare(groups, metrics, reference)
    tables = [markdown_table(groups, metrics), differences_table(comparisons, metrics)]
    if "## Quality and diversity" in stored:
        diversities = given_diversities(stored)
        text, at_equal_diversity = frontier_text(groups, metrics[0], reference, diversities)
        tables.append(text)
        comparisons += at_equal_diversity
    assert rows("\n".join(tables)) == rows(stored)
    assert report.with_name("differences.csv").read_text() == differences_csv(comparisons)


def test_results_are_rounded_and_configs_are_not(result):
    small = rounded(result("sft", 40))
    assert small["metrics"]["rougeL"]["ci_low"] == 38.7654
    assert small["config"]["lr"] == 0.0000051234
    assert rounded(0.0000512345) == 0.00005123
    assert rounded(small) == small


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("inputs"), "r.json: key 'inputs' is missing"),
        (lambda r: r.pop("metrics"), "r.json: key 'metrics' is missing"),
        (lambda r: r["metrics"]["rougeL"].pop("ci_low"), "'metrics.rougeL.ci_low' is missing"),
        (
            lambda r: r["metrics"].update(length=[1]),
            r"'metrics.length' is \[1\], but must be an object or null",
        ),
        (lambda r: r.update(format=3), "format 3 is unknown. Allowed: 1 or 2"),
        (lambda r: r.pop("format"), "no key 'format'"),
        (
            lambda r: r["metrics"]["rougeL"].update(mean=float("nan")),
            "'metrics.rougeL.mean' is None, but must be a number",
        ),
        (lambda r: r.update(training={"seed": 1}), "key 'training.seconds' is missing"),
        (lambda r: r["run"]["history"].append({"rougeL": 1.0}), "'run.history' has no 'step'"),
        (
            lambda r: r["metrics"]["rougeL"].update(per_input=[1.0, float("inf")]),
            "'metrics.rougeL.per_input' must hold one number for each input",
        ),
        (
            lambda r: r["metrics"]["reverse_kl"].update(weights=[]),
            "'metrics.reverse_kl.weights' must hold one number",
        ),
        (
            lambda r: r["metrics"]["reverse_kl"].update(weights=[1.0]),
            "'metrics.reverse_kl.weights' has 1 numbers, but 'per_input' has 40",
        ),
    ],
)
def test_bad_results_are_refused(result, write, change, message):
    bad = result("sft", 40)
    change(bad)
    with pytest.raises(InputError, match=message):
        load_results([write("r.json", bad)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("length"), "r.json: key 'length' is missing"),
        (lambda r: r["rougeL"].pop("ci_low"), "key 'rougeL.ci_low' is missing"),
        (lambda r: r["rougeL"].update(mean=float("nan")), "'rougeL.mean' is None, but must be"),
        (lambda r: r.update(per_input=[1.0, None]), "one number for each input"),
    ],
)
def test_bad_results_of_the_old_format_are_refused(old_result, write, change, message):
    bad = old_result("sft", 40)
    change(bad)
    with pytest.raises(InputError, match=message):
        load_results([write("r.json", bad)])


def test_files_without_results_are_refused(write, tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        load_results([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="holds no results"):
        load_results([tmp_path])
    with pytest.raises(InputError, match="no results were given"):
        load_results([])
    with pytest.raises(InputError, match="its list is empty"):
        load_results([write("empty.json", [])])
    with pytest.raises(InputError, match=r"bad.json, line 2, column 1: not valid json"):
        load_results([write("bad.json", '{"format": 2,\n"data}')])


def test_two_results_of_the_same_model_and_seed_are_refused(result, write):
    files = [write(f"{n}.json", result("sft", n)) for n in (40, 41)]
    with pytest.raises(InputError, match=r"two different results for data 'e2e'.*40.json.*41.json"):
        load_results(files)
