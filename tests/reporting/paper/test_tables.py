"""The values of the tables, and their three formats."""

import csv
import io
import re
import shutil
import subprocess

import numpy as np
import pytest

from minillm.errors import InputError
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import Result
from minillm.evaluation.significance import holm, permutation_p
from minillm.reporting.groups import group_results
from minillm.reporting.paper.ablations import table_4, table_7
from minillm.reporting.paper.differences import differences
from minillm.reporting.paper.layout import Table, csv_of, latex_of, markdown_of
from minillm.reporting.paper.models import Scored, scored_models
from minillm.reporting.paper.reported import read_reported
from minillm.reporting.paper.scores import mean_over
from minillm.reporting.paper.tables import table_1, table_1_overview, table_2, table_3
from minillm.reporting.table import markdown_table
from tests.reporting.paper.fabricated import classification, metric, result


def scored(*contents: dict) -> list[Scored]:
    results = {str(i): Result.from_json(content, "here") for i, content in enumerate(contents)}
    return scored_models(results)


def row_of(table: Table, **values: str) -> dict:
    (row,) = (row for row in table.rows if values.items() <= row.items())
    return row


def with_mean(content: dict, mean: float) -> dict:
    content["metrics"]["rougeL"]["mean"] = mean
    return content


def test_table_1_has_our_score_beside_the_reported_one():
    contents = [with_mean(result("GPT-2", "120M", "kd"), 23.5),
                with_mean(result("GPT-2", "120M", "minillm", run="a"), 25.0),
                with_mean(result("GPT-2", "120M", "minillm", run="b", seed=2), 26.0),
                result("GPT-2", "120M", "minillm", run="c", changes={"alpha": 0})]  # fmt: skip
    figures = {("GPT-2", "120M", "KD", "dolly", "rougeL"): 22.8}
    table = table_1(scored(*contents), figures)
    assert [row["method"] for row in table.rows] == ["KD", "MiniLLM"]  # alpha is of figure 16
    kd, minillm = table.rows
    assert kd["difference"] == pytest.approx(0.7) and kd["greedy"] == 23  # 20 + 3
    assert (kd["std_sampling"], kd["std_training"]) == (0.3, None)
    assert minillm["mean"] == 25.5 and minillm["std_training"] == pytest.approx(0.5**0.5)
    assert minillm["reported"] is None and minillm["difference"] is None
    text = markdown_of(table)
    assert re.search(r"\| KD +\| +23\.5 \| .* 22\.8 \| +\+0\.7 \| +23\.0 \|", text)
    short = markdown_of(table_1_overview(scored(*contents), figures))
    assert "23.5 (22.8)" in short and re.search(r"\| +25\.5 \|", short)


def test_scores_of_a_judge_stand_beside_those_of_gpt_4():
    judged = result("GPT-2", "120M", "kd")
    judged["metrics"]["judge"] = metric(np.full(60, 41.0))
    judged["judge"] = {"model": "large", "prompt_version": 1, "seeds": [10], "inputs": 60}
    figures = {("GPT-2", "120M", method, "dolly", "gpt4"): 40.3 for method in ("KD", "SeqKD")}
    table = table_1(scored(judged, result("GPT-2", "120M", "seqkd")), figures)
    assert table.rows[0]["judge_reported"] == 40.3 and "judge_difference" not in table.rows[0]
    assert table.rows[1]["judge_reported"] is None
    assert "GPT-4, reported" in markdown_of(table) and "the judge large" in table.caption
    assert "judge" not in markdown_of(table_1(scored(result("GPT-2", "120M", "kd")), figures))


@pytest.mark.parametrize(
    "change", [{"model": "small"}, {"prompt_version": 2}, {"seeds": [20]}, {"inputs": 9}]
)
def test_scores_of_different_judges_are_not_compared(change):
    contents = [result("GPT-2", "120M", method) for method in ("kd", "seqkd")]
    for content, changes in zip(contents, ({}, change), strict=True):
        content["metrics"]["judge"] = metric(np.full(60, 41.0))
        content["judge"] = {"model": "large", "prompt_version": 1, "seeds": [10], "inputs": 60}
        content["judge"] |= changes
    with pytest.raises(InputError, match=r"kd on dolly has .*; seqkd on dolly has "):
        table_1(scored(*contents), {})
    results = [Result.from_json(content, "here") for content in contents]
    with pytest.raises(InputError, match="--metric rougeL"):
        markdown_table(group_results(results), [METRICS["judge"]])
    assert markdown_table(group_results(results), [METRICS["rougeL"]])


def test_differences_to_minillm_have_corrected_p_values():
    """MiniLLM is compared with the students of its size and with the teacher."""
    ours = result("GPT-2", "120M", "minillm", score=25.0)
    kd, teacher = result("GPT-2", "120M", "kd", score=22.0), result("GPT-2", "1.5B", "teacher")
    del kd["frontier"]
    for content, greedy in ((ours, 9.0), (kd, 8.0)):
        content["metrics"]["rougeL"]["greedy_per_input"] = [greedy, *range(59)]
    others = [result("GPT-2", "340M", "kd"), result("GPT-2", "120M", "kd", "sst2")]
    table = differences(scored(ours, kd, teacher, *others))
    assert [row["methods"] for row in table.rows] == [
        "MiniLLM minus 1.5B teacher", "MiniLLM minus KD"
    ]  # fmt: skip
    to_teacher, to_kd = table.rows
    values = [np.array(each["metrics"]["rougeL"]["per_input"]) for each in (ours, kd)]
    assert to_kd["difference"] == pytest.approx((values[0] - values[1]).mean())
    assert to_kd["p"] == permutation_p(*values)
    assert to_kd["greedy_difference"] == pytest.approx(1 / 60) and to_kd["greedy_p"] == 1.0
    assert "equal_diversity_p" not in to_kd and "greedy_p" not in to_teacher
    p_values = [to_teacher["p"], to_teacher["equal_diversity_p"], to_kd["p"], to_kd["greedy_p"]]
    corrected = [to_teacher["p_corrected"], to_teacher["equal_diversity_p_corrected"],
                 to_kd["p_corrected"], to_kd["greedy_p_corrected"]]  # fmt: skip
    assert corrected == holm(p_values) != p_values
    assert "corrected for all 4 comparisons of this table (Holm)" in table.caption
    assert differences(scored(kd, teacher)) is None


def test_equal_diversity_interpolates_each_student():
    """The score at the common diversity is on the line between two temperatures."""
    contents = [result("GPT-2", "120M", method) for method in ("teacher", "kd", "seqkd")]
    for content, (low, high) in zip(contents, ((0.6, 0.9), (0.6, 0.9), (0.7, 0.9)), strict=True):
        content["frontier"]["points"] = [
            {"temperature": temperature, "top_p": 1,
             "values": {name: {"mean": mean, "per_input": None, "weights": None}
                        for name, mean in (("rougeL", quality), ("diversity", diversity))}}
            for temperature, quality, diversity in ((0.5, 30.0, low), (1, 20.0, high))
        ]  # fmt: skip
    table = table_1(scored(*contents), {})
    rows = [row_of(table, method=method) for method in ("KD", "SeqKD")]
    assert [row["diversity"] for row in rows] == [0.8, 0.8]
    assert [row["equal_diversity"] for row in rows] == pytest.approx([23 + 1 / 3, 25.0])
    assert row_of(table, method="teacher").get("equal_diversity") is None
    alone = table_1(scored(contents[1]), {}).rows[0]
    assert alone["equal_diversity"] is None


def test_tables_2_and_3_pair_two_measures():
    figures = {("LLaMA", "7B", "KD", "sst2", "ece"): 0.191}
    one = result("LLaMA", "7B", "kd", "sst2", metrics=classification(80, 0.2))
    (row,) = table_2(scored(one), figures).rows
    assert row["ece_difference"] == pytest.approx(0.009) and row["accuracy_reported"] is None
    assert row["accuracy_mean"] == 80 and row["accuracy_ci_low"] < 80
    assert table_1(scored(one), {}) is None and table_3(scored(one), {}) is None
    (row,) = table_3(scored(result("LLaMA", "7B", "kd")), {}).rows
    assert row["distinct_4_greedy"] == 90 and row["rougeL_greedy"] == 23


def test_table_4_compares_the_parts_of_minillm():
    full = result("GPT-2", "120M", "minillm", run="a", changes={"lm_coef": 0.0})
    part = result("GPT-2", "120M", "minillm", run="b", changes={"lm_coef": 0.0, "alpha": 0})
    figures = {("GPT-2", "120M", "no teacher mixing", "validation", "rougeL"): 22.3}
    assert table_4(scored(full), figures) is None
    table = table_4(scored(full, part), figures)
    row = row_of(table, variant="no teacher mixing, without L_PT")
    assert row["validation_mean"] == full["run"]["history"][-1]["rougeL"]
    assert row["validation_difference"] == pytest.approx(row["validation_mean"] - 22.3)
    assert row["equal_diversity"] is not None


def test_table_7_averages_data_sets_and_leaves_incomplete_means_empty():
    contents = [
        result("OPT", "1.3B", "minillm", data, run=f"runs/{coefficient}",
               changes={"lm_coef": coefficient}, metrics=classification(accuracy, 0.1))
        for coefficient in (0.0, 1.0)
        for data, accuracy in (("sst2", 90), ("boolq", 70))
    ]  # fmt: skip
    figures = {("OPT", "1.3B", "with L_PT", "classification"): 70.2}
    table = table_7(scored(*contents), figures)
    row = row_of(table, variant="with L_PT")
    assert row["classification_mean"] == 80
    assert row["classification_difference"] == pytest.approx(9.8)
    assert row["instructions_mean"] is None
    row = row_of(table_7(scored(*contents[1:]), figures), variant="without L_PT")
    assert row["classification_mean"] is None


def test_the_interval_of_a_mean_is_narrower_than_those_of_its_parts():
    parts = scored(*(result("OPT", "1.3B", "kd", data) for data in ("dolly", "vicuna")))
    interval = mean_over(parts, "rougeL")
    widths = [each.group.interval("rougeL") for each in parts]
    widths = [each.high - each.low for each in widths]
    expected = (widths[0] ** 2 + widths[1] ** 2) ** 0.5 / 2
    assert interval.high - interval.low == pytest.approx(expected, rel=0.1)
    assert mean_over([*parts, None], "rougeL") is None


def test_formats_escape_their_special_characters():
    content = with_mean(result("A_B & 100%", "1B", "kd|x"), 12.345678)
    table = table_1(scored(content), {})
    assert r"| kd\|x" in markdown_of(table)
    (row,) = csv.DictReader(io.StringIO(csv_of(table.rows)))
    assert (row["family"], row["mean"], row["reported"]) == ("A_B & 100%", "12.345678", "")
    text = latex_of(table)
    assert r"A\_B \& 100\%" in text and r"\label{tab:table1}" in text and r"$\pm$ seeds" in text
    for name in ("endfirsthead", "endhead", "bottomrule", "begin{longtable}", "end{longtable}"):
        assert text.count(f"\\{name}") == 1
    assert text.count("ROUGE-L &") == 2  # the headings of the first page, and of all others
    body = text.partition("\\toprule")[2]
    assert len({line.count(" & ") for line in body.splitlines() if line.endswith("\\\\")}) == 1


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_latex_accepts_the_tables(tmp_path):
    rows = scored(result("A_B & 100%", "1B", "kd"), result("OPT~1", "2^3", "minillm"))
    (tmp_path / "table.tex").write_text(latex_of(table_1(rows, {})))
    packages = "\\usepackage[utf8]{inputenc}\\usepackage{booktabs,longtable}"
    body = "\\begin{document}\\input{table}\\end{document}"
    (tmp_path / "all.tex").write_text(f"\\documentclass{{article}}{packages}{body}")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "all"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and (tmp_path / "all.pdf").is_file(), done.stdout[-2000:]


def test_wrong_files_of_reported_figures_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"--reported .*gone is not a folder"):
        read_reported(tmp_path / "gone")
    file = tmp_path / "table7.csv"
    for text, message in (
        ("family,size,data,value\n", "has no column variant"),
        ("family,size,variant,data,value\na,b,c,d,70?\n", "line 2: the value '70[?]' is not"),
        ("family,size,variant,data,value\n" + 2 * "a,b,c,d,70\n", "line 3: .* given twice"),
    ):
        file.write_text(text)
        with pytest.raises(InputError, match=message):
            read_reported(tmp_path)
    file.unlink()
    assert not any(read_reported(tmp_path).values())
