"""Frontiers in reports: points, differences at equal diversity, sharpening, figure, refusals."""

import io
import json

import numpy as np
import pytest
from PIL import Image

from minillm.errors import InputError
from minillm.evaluation.metrics import METRICS
from minillm.evaluation.result import Result
from minillm.evaluation.statistics import bootstrap_interval
from minillm.reporting import frontier_tables
from minillm.reporting.differences import compare, differences_table
from minillm.reporting.frontiers import curve_of, intervals_of, points_of, round_values
from minillm.reporting.groups import Group, group_results
from minillm.reporting.report import write_report
from tests.reporting.test_report import cells

INPUTS = 40
ROUGE_L = METRICS["rougeL"]


def with_frontier(content: dict, diversities: tuple[float, float], offset: float, **parts) -> dict:
    """The result with points at temperatures 0.5 and 1, where ROUGE-L is offset - 100 * diversity.

    Greedy decoding has the diversity 0.5. All inputs have the same values.
    """
    points = [(0, 1, 0.5), (0.5, 1, diversities[0]), (1, 1, diversities[1]), (1, 0.9, 0.66)]
    frontier = {"samples": 2, "points": [point(*each, offset) for each in points]}
    return content | {"frontier": frontier | parts}


def point(temperature: float, top_p: float, diversity: float, offset: float) -> dict:
    values = {
        "rougeL": value(offset - 100 * diversity),
        "length": value(25.0),
        "diversity": value(diversity, weights="ngrams"),
        "ngrams": value(30.0, np.tile([20.0, 40.0], INPUTS // 2).tolist()),
        "self_bleu": value(100 - 50 * diversity),
        "entropy": value(diversity, weights="length"),
        "reverse_kl": None if temperature == 0 else value(0.1, weights="length"),
        "forward_kl": None,
    }
    return {"temperature": temperature, "top_p": top_p, "values": values}


def value(mean: float, per_input: list[float] | None = None, weights: str | None = None) -> dict:
    return {"mean": mean, "per_input": per_input, "weights": weights}


def grouped(*contents: dict) -> list[Group]:
    return group_results([Result.from_json(content, "here") for content in contents])


def frontier_text(*arguments) -> str:
    return frontier_tables.frontier_text(*arguments)[0]


@pytest.fixture
def groups(result) -> list[Group]:
    """At temperature 1, minillm has the diversity that sft has at temperature 0.75."""
    return grouped(with_frontier(result("sft", 43), (0.6, 0.9), 130),
                   with_frontier(result("minillm", 47), (0.55, 0.75), 132))  # fmt: skip


def test_points_of_all_methods(groups):
    text = frontier_text(groups, ROUGE_L, "minillm", None)
    points = text.partition("## minillm against")[0]
    assert cells(points, "temperature 1") == [
        "e2e", "sft", "temperature 1", "0.900", "40.0", "25.0", "55.0", "0.900", "0.100",
    ]  # fmt: skip
    assert cells(points, "greedy")[3:] == ["0.500", "80.0", "25.0", "75.0", "0.500", "–"]
    assert "top-p 0.9" in points and "forward KL" not in points  # no point has one
    assert "Means over 2 responses to each prompt, at temperature 1 too. Diversity: sha" in points


def test_points_have_intervals_of_the_values_with_inputs(result):
    content = with_frontier(result("sft", 43), (0.6, 0.9), 130)
    values = content["frontier"]["points"][2]["values"]
    scores = np.random.default_rng(0).normal(40, 10, INPUTS)
    shares = np.random.default_rng(1).uniform(0.8, 1, INPUTS)
    counts = np.tile([20.0, 40.0], INPUTS // 2)
    values["rougeL"] = value(scores.mean(), scores.tolist())
    values["diversity"] = value(np.average(shares, weights=counts), shares.tolist(), "ngrams")
    (group,) = grouped(content)
    text = frontier_text([group], ROUGE_L, None, None)
    (read,) = [each for each in group.results[0].frontier.points if each.temperature == 1
               and each.top_p == 1]  # fmt: skip
    quality = bootstrap_interval(read.array("rougeL", INPUTS)[None])
    diversity = bootstrap_interval(read.array("diversity", INPUTS)[None], counts[None])
    assert cells(text, "temperature 1")[3:7] == [
        f"{values['diversity']['mean']:.3f} [{diversity.low:.3f}, {diversity.high:.3f}]",
        f"{scores.mean():.1f} [{quality.low:.1f}, {quality.high:.1f}]", "25.0", "55.0",
    ]  # fmt: skip
    assert "95% bootstrap intervals over inputs of diversity and ROUGE-L;" in text
    assert "No intervals of self-BLEU (in older results) and entropy, because" in text
    assert "Those of length and reverse KL are left out" in text
    values["self_bleu"] = value(55.0, np.linspace(50, 60, INPUTS).tolist())
    (group,) = grouped(content)
    assert cells(frontier_text([group], ROUGE_L, None, None), "temperature 1")[6].startswith(
        "55.0 ["
    )
    other = with_frontier(result("sft", 43, training_seed=2), (0.6, 0.9), 130) | {"inputs": 39}
    for each in other["frontier"]["points"]:
        each["values"]["ngrams"] = value(30.0)
    assert intervals_of(*grouped(content, other), ["rougeL"]) == {}  # not the same inputs


def test_differences_at_equal_diversity(groups):
    text = frontier_text(groups, ROUGE_L, "minillm", None)
    rows = [line for line in text.splitlines() if "minillm minus sft " in line]
    assert [row.split("|")[3].strip() for row in rows] == ["0.62", "0.68", "0.72"]
    assert {row.split("|")[4].strip() for row in rows} == {"+2.0 [+2.0, +2.0]"}
    # 2 of 10001 resamples, counted on both sides, times 3 comparisons.
    assert {row.split("|")[5].strip() for row in rows} == {"<0.001"}
    assert "from 10,000 resamples of the inputs, corrected for all 3 comparisons" in text
    text = frontier_text(groups, ROUGE_L, "minillm", [0.75])
    assert cells(text, "0.75")[-3:] == ["+2.0 [+2.0, +2.0]", "<0.001", "1.00 and 0.75"]


def test_sharpening_in_two_sentences(groups):
    text = frontier_text(groups, ROUGE_L, "minillm", None)
    # (132 - 75) - (130 - 90) = 17 at temperature 1; sft at temperature 0.75 gains 15.
    assert (
        "e2e, minillm minus sft: at temperature 1, the difference in ROUGE-L is +17.0 [+17.0, "
        "+17.0]. Of this, +15.0 [+15.0, +15.0] is sharpening: ROUGE-L of sft changes by this too "
        "when its temperature goes from 1 to 0.75, where it has the diversity 0.750 of minillm; "
        "+2.0 [+2.0, +2.0] remains at equal diversity."
    ) in text
    assert " gain" not in text
    text = frontier_text(groups, ROUGE_L, "sft", None)
    assert "is outside the range of minillm or close to its end, so sharpening is not" in text


def test_training_runs_are_averaged(result):
    runs = [with_frontier(result("kd", 43, training_seed=seed), (0.6, 0.9), offset)
            for seed, offset in ((1, 130), (2, 140))]  # fmt: skip
    runs[1]["frontier"]["points"].pop(1)  # only common points are used
    (group,) = grouped(*runs)
    assert [p.temperature for p in points_of(group)] == [0, 1, 1]
    assert points_of(group)[1].values["rougeL"] == pytest.approx(45)
    assert curve_of(group, "rougeL").quality[:, 0] == pytest.approx([85, 45])
    runs[1]["frontier"]["samples"] = 3
    (group,) = grouped(*runs)
    assert points_of(group) == [] and curve_of(group, "rougeL") is None


def test_points_and_curves_pool_the_responses_of_all_runs(result):
    """A run with twice as many 4-grams counts twice in the diversity."""
    runs = [with_frontier(result("kd", 43, training_seed=seed), diversities, 130)
            for seed, diversities in ((1, (0.6, 0.9)), (2, (0.7, 0.75)))]  # fmt: skip
    for each in runs[1]["frontier"]["points"]:
        each["values"]["ngrams"] = value(60.0, np.tile([40.0, 80.0], INPUTS // 2).tolist())
    (group,) = grouped(*runs)
    expected = [0.5, (0.6 + 2 * 0.7) / 3, (0.9 + 2 * 0.75) / 3]
    assert [p.values["diversity"] for p in points_of(group)[:3]] == pytest.approx(expected)
    diversity, _ = curve_of(group, "rougeL").means(np.ones((1, INPUTS)))
    assert diversity[0] == pytest.approx(expected)


def test_other_numbers_of_responses_are_not_compared(result):
    groups = grouped(with_frontier(result("sft", 43), (0.6, 0.9), 130, samples=3),
                     with_frontier(result("minillm", 47), (0.55, 0.75), 132))  # fmt: skip
    text = frontier_text(groups, ROUGE_L, "minillm", None)
    assert "different numbers of responses are not compared" in text
    assert "against the others at equal diversity" not in text


def test_a_value_without_inputs_is_not_compared(result):
    contents = [with_frontier(result("sft", 43), (0.6, 0.9), 130),
                with_frontier(result("minillm", 47), (0.55, 0.75), 132)]  # fmt: skip
    for each in (each for content in contents for each in content["frontier"]["points"]):
        each["values"]["exact_match"] = value(30.0)
    groups = grouped(*contents)
    text = frontier_text(groups, METRICS["exact_match"], "minillm", None)
    assert "exact match is not compared at equal diversity" in text and "minus" not in text
    assert "ROUGE-L, reverse KL and length can be compared" in text
    with pytest.raises(InputError, match=r"--diversity 0\.7: .*exact match is not compared"):
        frontier_text(groups, METRICS["exact_match"], "minillm", [0.7])


def test_the_legend_names_methods_that_are_left_out(result):
    runs = [with_frontier(result("kd", 43, training_seed=1), (0.6, 0.9), 130),
            result("kd", 43, training_seed=2)]  # fmt: skip
    sft = with_frontier(result("sft", 43), (0.6, 0.9), 130)
    gkd = with_frontier(result("gkd", 43), (0.6, 0.9), 130, samples=3)
    sft["frontier"]["points"][0]["values"]["ngrams"]["per_input"][:10] = [0] * 10
    minillm = with_frontier(result("minillm", 47), (0.55, 0.75), 132)
    groups = grouped(*runs, result("init", 30), sft, gkd, minillm)
    text = frontier_text(groups, ROUGE_L, "minillm", None)
    assert (
        "Left out: kd (e2e: a frontier in only 1 of 2 training runs) and init (e2e: no frontier)."
    ) in text
    assert "fewer than two temperatures with ROUGE-L and 4-grams: minillm minus gkd (e2e)." in text
    assert "such inputs): 25% of the inputs of sft (e2e). These inputs count in all" in text
    assert "None" not in frontier_text(groups, ROUGE_L, None, None)
    with pytest.raises(InputError, match="Give results of a method and of another method"):
        frontier_text(groups, ROUGE_L, None, [0.7])


def test_methods_that_share_no_temperature_range_use_greedy(result):
    groups = grouped(with_frontier(result("sft", 43), (0.8, 0.9), 130),
                     with_frontier(result("minillm", 47), (0.6, 0.7), 132))  # fmt: skip
    text = frontier_text(groups, ROUGE_L, "minillm", None)
    assert cells(text, "0.6")[-1] == "0.50 and 0.17†"
    assert "† A method is between greedy decoding and its lowest temperature" in text
    assert (
        "sft has the diversity of minillm at temperature 1 only between greedy decoding and its "
        "lowest temperature, where a straight line describes the curve badly, so sharpening is not "
        "known. Evaluate at lower temperatures."
    ) in text


def test_sharpening_needs_one_temperature_of_all_evaluations(result):
    contents = [with_frontier(result("sft", 43), (0.6, 0.9), 130),
                with_frontier(result("minillm", 47), (0.55, 0.75), 132)]  # fmt: skip
    text = frontier_text(grouped(contents[0] | {"temperature": 0.5}, contents[1]), ROUGE_L,
                         "minillm", None)  # fmt: skip
    assert "the evaluations have the temperatures 0.5 and 1, so sharpening is not known" in text
    greedy = [content | {"temperature": 0} for content in contents]
    assert "e2e, minillm" not in frontier_text(grouped(*greedy), ROUGE_L, "minillm", None)


def test_a_more_diverse_reference_is_not_called_sharper(result):
    """At temperature 1, kd has the diversity that minillm has between 0.5 and 1.5."""
    kd = with_frontier(result("kd", 43), (0.6, 0.75), 130)
    minillm = with_frontier(result("minillm", 47), (0.55, 0.65), 132)
    minillm["frontier"]["points"].append(point(1.5, 1, 0.85, 132))
    text = frontier_text(grouped(kd, minillm), ROUGE_L, "kd", None)
    assert (
        "the difference in ROUGE-L is -12.0 [-12.0, -12.0]. ROUGE-L of minillm changes by -10.0 "
        "[-10.0, -10.0] when its temperature goes from 1 to 1.25, where it has the diversity 0.750 "
        "of kd; -2.0 [-2.0, -2.0] remains at equal diversity."
    ) in text
    assert "sharpening" not in text and " gain" not in text


def test_a_report_with_a_frontier(result, write, tmp_path):
    sft = with_frontier(result("sft", 43), (0.6, 0.9), 130)
    minillm = with_frontier(result("minillm", 47), (0.55, 0.75), 132)
    teacher = with_frontier(result("teacher", 52), (0.65, 0.8), 135)
    names = {"sft": sft, "minillm": minillm, "teacher": teacher, "kd": result("kd", 40)}
    paths = [write(f"{name}.json", content) for name, content in names.items()]
    output = tmp_path / "report"
    table = write_report(paths, output, diversities=[0.7])
    assert "minillm minus teacher" in table and "minillm minus kd" in table
    text = (output / "table.md").read_text()
    assert "![frontier](frontier.png)" in text
    png = (output / "frontier.png").read_bytes()
    assert Image.open(io.BytesIO(png)).width > 600 and len(png) < 100_000
    again = tmp_path / "again"
    write_report([output], again, diversities=[0.7])
    assert (again / "table.md").read_text() == text
    assert (again / "frontier.png").read_bytes() == png
    write_report([write("kd.json", result("kd", 40))], output)  # no frontier: no figure
    assert not (output / "frontier.png").exists()


@pytest.mark.parametrize(
    ("diversities", "message"),
    [
        ([0.95], r"--diversity 0.95: no two methods .*minus sft \(e2e\): from 0.500 to 0.750"),
        ([0], "--diversity 0 is not allowed: .*above 0 and at most 1"),
        ([82], "--diversity 82 is not allowed"),
        ([0.7, 0.7], "--diversity 0.7 is not allowed: give different"),
    ],
)
def test_diversities_that_are_refused(result, write, tmp_path, diversities, message):
    paths = [write("a.json", with_frontier(result("sft", 43), (0.6, 0.9), 130)),
             write("b.json", with_frontier(result("minillm", 47), (0.55, 0.75), 132))]  # fmt: skip
    with pytest.raises(InputError, match=message):
        write_report(paths, tmp_path / "report", diversities=diversities)
    assert not (tmp_path / "report").exists()


def test_a_diversity_needs_a_frontier(result, write, tmp_path):
    with pytest.raises(InputError, match=r"no result has a frontier of rougeL. .*evaluation.front"):
        write_report([write("a.json", result("sft", 43))], tmp_path / "r", diversities=[0.7])


def test_greedy_differences_are_paired(result):
    contents = [result("sft", 43), result("minillm", 47)]
    for content, greedy in zip(contents, (50, 53), strict=True):
        scores = (np.arange(INPUTS) + greedy).tolist()
        content["metrics"]["rougeL"]["greedy_per_input"] = scores
    comparisons = compare(grouped(*contents), [ROUGE_L], "minillm")
    table = differences_table(comparisons, [ROUGE_L])
    p = "p, corrected"
    assert cells(table, "greedy") == ["data", "methods", "difference", p, "greedy", p]
    assert cells(table, "minillm minus sft")[-2] == "+3.0 [+3.0, +3.0]"
    assert "Greedy: the same of greedy decoding." in table


def test_a_result_with_a_frontier_is_the_same_after_reading(result):
    content = with_frontier(result("sft", 43), (0.6, 0.9), 130)
    content["metrics"]["rougeL"]["greedy_per_input"] = [1.0] * INPUTS
    read = Result.from_json(json.loads(json.dumps(content)), "here")
    assert read.to_json() == content


def test_round_values():
    assert round_values(0.6, 0.9) == [0.65, 0.75, 0.85]
    assert round_values(0.76, 0.80) == [0.77, 0.78, 0.79]
    assert round_values(0.8001, 0.8002) == [0.8002]
