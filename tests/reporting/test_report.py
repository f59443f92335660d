"""Reports, from fabricated runs to files."""

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from minillm.errors import InputError
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import Result
from minillm.reporting.comparisons import differences_csv
from minillm.reporting.differences import compare, differences_table
from minillm.reporting.groups import Group, group_results, usual_reference
from minillm.reporting.judges import win_rates_table
from minillm.reporting.look import COLORS, styles_of
from minillm.reporting.report import write_report
from minillm.reporting.results import load_results
from minillm.reporting.table import csv_table, markdown_table
from tests.evaluation.toy import Letters
from tests.reporting.conftest import metric, spread

ROUGE_L, REVERSE_KL, LENGTH = (METRICS[name] for name in ("rougeL", "reverse_kl", "length"))
FILES = ["differences.csv", "results.json", "rouge_l.png", "table.csv", "table.md", "training.png"]
ALONE = FILES[1:-1]  # of one method without a history


def grouped(*contents: dict) -> list[Group]:
    return group_results([Result.from_json(content, "here") for content in contents])


def differences(groups: list[Group], metrics: list, reference: str | None) -> str | None:
    return differences_table(compare(groups, metrics, reference), metrics)


def cells(table: str, method: str) -> list[str]:
    """The cells of a method's first row."""
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return next(row for row in rows if method in row)


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
    assert all(
        result["config"] == {"lr": 0.0000051234} for result in json.loads(first["results.json"])
    )

    again = tmp_path / "again"
    write_report([output / "results.json"], again, title="Both")
    write_report([output], output, title="Both")  # replaces the report, without its runs
    for folder in (again, output):
        assert {name: (folder / name).read_bytes() for name in FILES} == first


def test_csv_has_one_row_for_each_run(runs):
    rows = list(csv.DictReader(io.StringIO(csv_table(load_results([runs])))))
    parts = ("mean", "std", "ci_low", "ci_high", "greedy")
    columns = [f"{name}_{part}" for name in ("rougeL", "exact_match", "length", "reverse_kl")
               for part in parts]  # fmt: skip
    columns.remove("reverse_kl_greedy")  # no result has it
    assert list(rows[0]) == ["data", "method", "model", "parameters", *columns, "train_seconds",
                             "training_seeds", "inputs", "run"]  # fmt: skip
    assert rows[0]["method"] == "teacher" and rows[0]["reverse_kl_mean"] == ""
    minillm = [row for row in rows if row["method"] == "minillm"]
    assert [row["training_seeds"] for row in minillm] == ["1", "1", "2"]
    last = minillm[-1]
    assert (last["data"], last["rougeL_mean"], last["run"]) == ("e2e", "48.1", "minillm-2")
    assert (last["rougeL_ci_low"], last["length_greedy"]) == ("46.8654", "27.3")


def test_markdown_marks_the_best_student(result):
    results = [result("teacher", 52), result("sft", 43), result("minillm", 47.1)]
    table = markdown_table(grouped(*results), [ROUGE_L])
    lines = table.splitlines()
    assert len({len(line) for line in lines[:5]}) == 1
    assert cells(table, "teacher") == ["e2e", "teacher", "gpt2 128x4", "1.23M",
                                       "52.0 [50.8, 53.2]", "57.0", "25.0", "–", "–"]  # fmt: skip
    assert [line.count("**") for line in lines[2:5]] == [0, 0, 2]
    assert "ROUGE-L (0 to 100): mean over 2 sampling seeds" in lines[-1]
    assert "Inputs: e2e 40." in lines[-1]
    results.append(result("minillm", 48.1, training_seed=2))
    assert "**47.6 ± 0.7 (2 runs)**" in markdown_table(grouped(*results), [ROUGE_L])


def test_markdown_of_metrics_in_their_directions(result):
    groups = grouped(result("teacher", 52), result("sft", 43), result("kd", 40))
    table = markdown_table(groups, [REVERSE_KL, LENGTH])
    assert cells(table, "method")[4:] == ["reverse KL", "length", "length, greedy", "training (s)"]
    # 20 / 43 is the lowest. The teacher has no reverse KL, and a length has no direction.
    assert cells(table, "teacher")[4:6] == ["–", "25.0 [24.8, 25.2]"]
    assert cells(table, "sft")[4:6] == ["**0.465 [0.455, 0.475]**", "25.0 [24.8, 25.2]"]
    assert cells(table, "kd")[4] == "0.500 [0.490, 0.510]"
    assert "Bold: best student of a data set (reverse KL: the lowest)." in table


def test_differences_pair_the_same_inputs(result):
    results = [result("teacher", 52), result("sft", 43), result("minillm", 47)]
    assert differences(grouped(*results[:1]), [ROUGE_L], "teacher") is None
    assert differences(grouped(*results), [ROUGE_L], None) is None
    results[0]["metrics"]["rougeL"]["per_input"].pop()
    table = differences(grouped(*results), [ROUGE_L], "minillm")
    # Fabricated scores differ by a constant, so pairing leaves no spread.
    assert cells(table, "minillm minus sft")[-2] == "+4.0 [+4.0, +4.0]"
    assert "Not compared in ROUGE-L" in table and "inputs: minillm minus teacher (e2e)." in table
    table = differences(grouped(*results), [REVERSE_KL], "sft")
    assert cells(table, "sft minus minillm")[-2] == "+0.040 [+0.040, +0.040]"  # 20/43 - 20/47
    assert "A lower reverse KL is better." in table


def test_differences_weigh_the_inputs(result):
    sft, kd = result("sft", 43), result("kd", 40)
    sft["metrics"]["reverse_kl"]["per_input"] = [0.5, 0.9] * 20  # of 20 and 30 tokens
    table = differences(grouped(sft, kd), [REVERSE_KL], "sft")
    assert cells(table, "sft minus kd")[-2].startswith("+0.240 [+0.")  # 37 / 50 - 0.5


def test_p_values_are_corrected_for_the_whole_table(result):
    """Three inputs have 8 exchanges. Each difference is largest in 2 of them, so p is 0.25."""
    results = [result(name, 40) for name in ("sft", "kd", "minillm")]
    for content, scores in zip(results, ([1, 2, 3], [2, 1, 4], [6, 7, 9]), strict=True):
        content["inputs"] = 3
        content["metrics"] = {"rougeL": metric(4.0, np.array(scores, dtype=float), 1.0)}
        content["metrics"]["rougeL"]["greedy_per_input"] = [float(scores[0])] * 3
    comparisons = compare(grouped(*results), [ROUGE_L], "minillm")
    assert [each.p for each in comparisons] == [0.25] * 4
    assert [each.corrected for each in comparisons] == [1.0] * 4
    table = differences_table(comparisons, [ROUGE_L])
    header = ["data", "methods", "difference", "p, corrected", "greedy", "p, corrected"]
    assert cells(table, "data") == header
    assert cells(table, "minillm minus kd")[3] == "1.000"
    assert "corrected for all 4 comparisons of this table (Holm)" in table
    rows = list(csv.DictReader(io.StringIO(differences_csv(comparisons))))
    assert [(row["minus"], row["responses"]) for row in rows] == [
        ("sft", "sampled"), ("sft", "greedy"), ("kd", "sampled"), ("kd", "greedy")
    ]  # fmt: skip
    assert float(rows[2]["difference"]) == 5 and float(rows[2]["p"]) == 0.25


def test_win_rates_of_a_judge(result, write, tmp_path):
    """They are in the report with the scores of the judge, and without them they are not."""
    judged, other = result("minillm", 47), result("kd", 40)
    judged["metrics"]["judge"] = metric(80.0, np.full(40, 80.0), 1.0)
    wins = {"method": "kd", "win_rate": 62.5, "ci_low": 55.0, "ci_high": 70.0, "wins": 50.0,
            "ties": 25.0, "losses": 25.0, "missing": 1}  # fmt: skip
    nothing = dict.fromkeys(wins) | {"method": "kd", "missing": 40}
    judged["judge"] = {"model": "m", "prompt_version": 1, "seeds": [10], "inputs": 40,
                       "against": {"../../kd/evaluation/e2e.json": wins}}  # fmt: skip
    paths = [write("judged.json", judged), write("other.json", other)]
    text = write_report(paths, tmp_path / "report").partition("## Win rates")[2]
    assert cells(text, "minillm") == ["e2e", "minillm", "kd", "62.5 [55.0, 70.0]", "50.0", "25.0",
                                      "25.0", "1"]  # fmt: skip
    assert "## Win rates" not in write_report(paths, tmp_path / "report", metrics=["rougeL"])
    judged["judge"]["against"]["../../kd-2/evaluation/e2e.json"] = nothing
    text = win_rates_table(grouped(judged))
    assert cells(text, "kd (../../kd/evaluation/e2e.json)")[3] == "62.5 [55.0, 70.0]"
    assert cells(text, "kd (../../kd-2/evaluation/e2e.json)")[3:] == ["–"] * 4 + ["40"]
    assert win_rates_table(grouped(other)) is None


def test_the_usual_reference(result):
    groups = grouped(result("teacher", 52), result("sft", 43), result("kd", 40), result("init", 60))
    assert usual_reference(groups, ROUGE_L) == "sft"
    assert usual_reference(groups, REVERSE_KL) == "sft"
    assert usual_reference(groups, LENGTH) == "kd"  # the last student: a length has no direction
    assert usual_reference(grouped(result("minillm", 9), result("sft", 43)), ROUGE_L) == "minillm"
    assert usual_reference(grouped(result("teacher", 52)), ROUGE_L) is None


def test_old_and_new_results_mix(result, old_result, write, tmp_path):
    paths = [write("new.json", result("sft", 43)), write("old.json", old_result("kd", 40))]
    table = write_report(paths, tmp_path / "report", metrics=["rougeL", "exact_match"])
    assert cells(table, "kd")[4:7] == ["40.0 [38.8, 41.2]", "45.0", "–"]
    assert cells(table, "sft minus kd") == [
        "e2e", "sft minus kd", "+3.0 [+3.0, +3.0]", "<0.001", "–", "–"
    ]  # fmt: skip
    table = write_report(paths, tmp_path / "report", metrics=["length"])
    assert cells(table, "sft")[4] == "25.0 [24.8, 25.2]" and cells(table, "kd")[4] == "28.1"
    assert "lack values of the same inputs: all." in table


def test_a_new_metric_is_shown_everywhere(result, write, tmp_path, monkeypatch):
    monkeypatch.setitem(METRICS, "letterCount", Letters())
    paths = []
    for method, mean in (("sft", 30.0), ("gkd", 20.0)):
        content = result(method, 40)
        content["metrics"]["letterCount"] = metric(mean, spread(mean, 1), 1.0, greedy=9.0)
        content["run"]["history"] = [{"step": 1, "seconds": 2.0, "letterCount": mean}]
        paths.append(write(f"{method}.json", content))
    output = tmp_path / "report"
    table = write_report(paths, output, metrics=["letterCount"])
    assert cells(table, "gkd")[4:6] == ["**20.00 [19.00, 21.00]**", "9.00"]
    assert cells(table, "gkd minus sft")[-2] == "-10.00 [-10.00, -10.00]"  # gkd is the best student
    assert "Letters: letters of a response, weighed by its tokens." in table
    assert sorted(f.name for f in output.iterdir()) == [
        "differences.csv", "letter_count.png", *FILES[1:2], *FILES[3:]
    ]  # fmt: skip
    assert "![letter_count](letter_count.png)" in (output / "table.md").read_text()
    assert "letterCount_mean,letterCount_std" in (output / "table.csv").read_text()


def test_names_of_a_report_are_checked(runs, tmp_path):
    for options, message in (
        ({"metrics": ["rouge"]}, r"--metric 'rouge'. Did you mean 'rougeL'"),
        ({"metrics": ["empty"]}, r"--metric empty: no result has .* have rougeL, exact_match, le"),
        ({"curves": ["losss"]}, r"--curve 'losss'. Did you mean 'loss'"),
        ({"against": "minilm"}, r"--against 'minilm'. Did you mean 'minillm'\? Allowed: gkd, init"),
    ):
        with pytest.raises(InputError, match=message):
            write_report([runs], tmp_path / "report", **options)
    assert not (tmp_path / "report").exists()


def test_curves_and_reference_that_are_named(result, write, tmp_path):
    paths = [write(f"{name}.json", result(name, 40)) for name in ("teacher", "minillm")]
    output = tmp_path / "report"
    table = write_report(paths, output, curves=["loss"], against="teacher")
    assert "## teacher against the others" in table
    assert "teacher minus minillm" in table and "minillm minus" not in table
    loss = Image.open(output / "training.png").size
    write_report([output], output, curves=["loss", "rougeL"])
    assert Image.open(output / "training.png").width > loss[0]
    write_report([output], output, curves=["length"])  # no history has it
    assert not (output / "training.png").exists()


def test_runs_with_other_settings_are_not_seeds_of_one_method(result):
    def run(seed, lr):
        content = result("kd", 40, training_seed=seed)
        content["training"]["config"] = {"method": {}, "training": {"lr": lr}}
        return content

    assert [group.label for group in grouped(run(1, 5e-4), run(2, 5e-4))] == ["kd"]
    labels = [group.label for group in grouped(run(1, 5e-4), run(2, 1e-4))]
    assert labels == ["kd (kd-1)", "kd (kd-2)"]


def test_a_metric_that_one_of_two_runs_lacks_has_no_figure(result, write, tmp_path):
    contents = [result("kd", 40, training_seed=seed) for seed in (1, 2)]
    del contents[1]["metrics"]["exact_match"]
    paths = [write(f"{i}.json", content) for i, content in enumerate(contents)]
    output = tmp_path / "report"
    write_report(paths, output, metrics=["rougeL", "exact_match"])
    assert (output / "rouge_l.png").exists() and not (output / "exact_match.png").exists()


def test_the_start_is_not_the_best_student(result):
    table = markdown_table(grouped(result("init", 50), result("kd", 40)), [ROUGE_L])
    assert "**40.0" in table and "**50.0" not in table


def test_a_method_has_one_color(result):
    """The other methods do not matter. If all colours are used, line styles differ."""
    few = styles_of(grouped(*(result(name, 40) for name in ("teacher", "init", "sft", "minillm"))))
    names = [f"method {i}" for i in range(12)]
    many = styles_of(grouped(*(result(name, 40) for name in ["zkd", "minillm", *names])))
    assert many["minillm"]["color"] == few["minillm"]["color"]
    looks = [(style["color"], style["linestyle"]) for style in many.values()]
    assert len(set(looks)) == len(looks) == 14
    assert {color for color, _ in looks} == set(COLORS)
    assert few["teacher"]["color"] not in COLORS and few["init"]["color"] not in COLORS


def test_one_result_without_history(result, write, tmp_path):
    only = result("minillm", 47)
    only |= {"run": None, "training": None, "provenance": {}}
    only["metrics"] = {"rougeL": only["metrics"]["rougeL"] | {"std": None, "greedy": None}}
    output = tmp_path / "report"
    output.mkdir()
    (output / "notes.txt").write_text("mine")
    write_report([write("only.json", only)], output)
    assert sorted(f.name for f in output.iterdir()) == ["notes.txt", *ALONE]
    assert "- commands: unknown" in (output / "table.md").read_text()


def test_only_the_files_of_a_report_are_replaced(result, runs, write, tmp_path):
    output = tmp_path / "report"
    write_report([runs], output, metrics=["rougeL", "exact_match"])
    (output / "length.png").write_bytes(b"mine")
    only = write("only.json", result("teacher", 50))
    write_report([only], output)
    # exact_match.png and training.png showed runs that are no longer in the report.
    names = sorted(file.name for file in output.iterdir())
    assert names == ["length.png", *ALONE]
    (output / "results.json").unlink()
    with pytest.raises(InputError, match=r"holds table.md"):
        write_report([runs], output)
    with pytest.raises(InputError, match="is a file"):
        write_report([runs], only)


def test_reports_need_no_model_library():
    code = (
        "import minillm.reporting.report, sys; print({'torch', 'transformers'} & set(sys.modules))"
    )
    command = [sys.executable, "-c", code]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert process.stdout.strip() == "set()"


def test_the_legend_counts_test_inputs_that_occur_in_training(result):
    contents = [result("kd", 40) | {"seen_in_training": 3}, result("sft", 41)]
    table = markdown_table(grouped(*contents), [METRICS["rougeL"]])
    assert "Test inputs that occur in the training data: 3 (kd). " in table
    table = markdown_table(grouped(contents[1]), [METRICS["rougeL"]])
    assert "occur in the training data" not in table


def test_the_legend_names_results_of_an_untrained_start(result):
    untrained, improved = result("kd", 40), result("sft", 41)
    runs = [result("minillm", 47), result("minillm", 48, training_seed=2)]
    for content in (untrained, runs[0]):
        content["training"]["best_step"] = 0
    table = markdown_table(grouped(untrained, improved, *runs), [METRICS["rougeL"]])
    note = "kd and minillm (1 of 2 runs): no checkpoint was better than the start of the training"
    assert note in table
    assert "better than the start" not in markdown_table(grouped(improved), [METRICS["rougeL"]])
