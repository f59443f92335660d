"""Result files: found wherever they are said to be, and refused with a reason."""

import json

import pytest

from minillm.errors import InputError
from minillm.reporting.groups import group_results
from minillm.reporting.results import load_results, rounded


def test_finds_and_orders_results(runs):
    results = load_results([runs])
    order = ["teacher", "init", "sft", "seqkd", "gkd", "minillm"]
    assert [(r["data"], r["method"]) for r in results] == [
        *(("dolly", method) for method in order),
        *(("e2e", method) for method in [*order, "minillm"]),
    ]
    one_file = runs / "sft-1" / "evaluation" / "e2e.json"
    assert load_results([one_file, one_file.parent, runs]) == results  # each is taken once
    assert len(load_results([one_file.parent])) == 2


def test_training_seeds_are_grouped_but_models_and_runs_are_not(result):
    seeds = [result("sft", 40), result("sft", 41, training_seed=2)]
    assert [(g.label, len(g.results)) for g in group_results(seeds)] == [("sft", 2)]
    seeds[1]["model"] = "gpt2 128x2"
    assert [g.label for g in group_results(seeds)] == ["sft (gpt2 64x2)", "sft (gpt2 128x2)"]
    same_seed = [result("sft", 40), result("sft", 41)]
    same_seed[1]["run"]["name"] = "sft-low-lr"
    assert [g.label for g in group_results(same_seed)] == ["sft (sft-1)", "sft (sft-low-lr)"]


def test_rounds_results_but_not_what_made_them(result):
    small = rounded(result("sft", 40))
    assert small["rougeL"]["ci_low"] == 38.7654
    assert small["config"]["lr"] == 0.0000051234
    assert rounded(0.0000512345) == 0.00005123
    assert rounded(small) == small


def _write(path, content):
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda r: r.pop("length"), "r.json: key 'length' is missing"),
        (lambda r: r["rougeL"].pop("ci_low"), "key 'rougeL.ci_low' is missing"),
        (lambda r: r.update(format=2), "format 2 is unknown, 1 is allowed"),
        (lambda r: r.pop("format"), "no key 'format'"),
        (lambda r: r["rougeL"].update(mean=float("nan")), "'rougeL.mean' is None; a number is"),
        (lambda r: r.update(training={"seed": 1}), "key 'training.seconds' is missing"),
        (lambda r: r["run"]["history"].append({"rougeL": 1.0}), "'run.history' lacks a 'step'"),
        (lambda r: r.update(per_input=[1.0, None]), "one number for each input"),
    ],
)
def test_refuses_bad_results(result, tmp_path, change, message):
    bad = result("sft", 40)
    change(bad)
    with pytest.raises(InputError, match=message):
        load_results([_write(tmp_path / "r.json", bad)])


def test_refuses_what_holds_no_results(result, tmp_path):
    with pytest.raises(InputError, match="nowhere does not exist"):
        load_results([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="holds no results"):
        load_results([tmp_path])
    with pytest.raises(InputError, match="no results were given"):
        load_results([])
    with pytest.raises(InputError, match="its list is empty"):
        load_results([_write(tmp_path / "empty.json", [])])
    with pytest.raises(InputError, match=r"bad.json, line 2, column 1: not valid json"):
        load_results([_write(tmp_path / "bad.json", '{"format": 1,\n"data}')])


def test_refuses_two_results_for_the_same_thing(result, tmp_path):
    files = [_write(tmp_path / f"{n}.json", result("sft", n)) for n in (40, 41)]
    with pytest.raises(InputError, match=r"two different results for data 'e2e'.*40.json.*41.json"):
        load_results(files)
