"""`minillm evaluate`, `generate` and `report`: results are repeatable and never overwritten."""

import json
import shutil
from pathlib import Path

import pytest

from minillm.evaluation import frontier_sampling
from minillm.evaluation.metrics import METRICS, cheap_metrics
from minillm.evaluation.scoring import score
from tests.conftest import write_jsonl
from tests.evaluation.toy import Letters

TIMES = {"wall_seconds", "provenance", "config"}


@pytest.fixture
def run_folder(teacher, tmp_path):
    return shutil.copytree(teacher, tmp_path / "run")


def numbers(path):
    result = json.loads(Path(path).read_text())
    return {key: value for key, value in result.items() if key not in TIMES}


def test_evaluation_is_the_same_twice(command, run_folder):
    seeds = "evaluation.seeds=[10,20]"
    assert command("evaluate", "run", seeds).status == 0
    assert command("evaluate", "run", seeds, "output=again").status == 0
    first, second = Path("run/evaluation"), Path("again/evaluation")
    assert numbers(first / "tiny.json") == numbers(second / "tiny.json")
    responses = (first / "tiny.responses.jsonl").read_bytes()
    assert responses == (second / "tiny.responses.jsonl").read_bytes()
    result = numbers(first / "tiny.json")
    assert result["inputs"] == 10 and result["seeds"] == [10, 20]
    assert result["training"]["seed"] == 1 and result["run"]["name"] == "teacher"
    assert result["training"]["config"]["method"]["name"] == "sft"
    assert set(result["training"]["config"]) == {"student", "teacher", "method", "training"}
    assert len(responses.splitlines()) == 10 * 3  # two seeds and greedy
    check_means(result, [json.loads(line) for line in responses.splitlines()])


def check_means(result, rows):
    """The metrics of a result are the means of the values in its file of responses."""
    assert list(result["metrics"]) == cheap_metrics()
    assert result["metrics"].pop("reverse_kl") is None  # there is no teacher
    for name in ("rougeL", "exact_match", "length", "unfinished", "empty"):
        values = {seed: [row[name] for row in rows if row["seed"] == seed]
                  for seed in (10, 20, "greedy")}  # fmt: skip
        means = {str(seed): sum(scores) / len(scores) for seed, scores in values.items()}
        metric = result["metrics"][name]
        assert metric["greedy"] == pytest.approx(means.pop("greedy"), abs=1e-3), name
        assert metric["per_seed"] == pytest.approx(means, abs=1e-3), name
        assert metric["mean"] == pytest.approx(sum(means.values()) / 2, abs=1e-3), name
        assert metric["ci_low"] <= metric["mean"] <= metric["ci_high"], name
        pairs = zip(values[10], values[20], strict=True)
        assert metric["per_input"] == pytest.approx([sum(pair) / 2 for pair in pairs], abs=1e-3)


def test_test_inputs_that_occur_in_training_are_counted(command, run_folder, caplog):
    """The run trained on 25 of the 30 inputs of its file. A copy of the model knows its run."""
    evaluate = ["evaluation.seeds=[10]", "evaluation.greedy=false", "evaluation.limit=2"]
    assert command("evaluate", "run", *evaluate).status == 0
    assert numbers("run/evaluation/tiny.json")["seen_in_training"] == 0
    shutil.copytree(run_folder / "best", "copy")
    data = ["data.name=again", "data.test=train.jsonl"]
    assert command("evaluate", "copy", *evaluate, *data, "output=other").status == 0
    assert "25 of 30 test inputs occur in the training data" in caplog.text
    assert numbers("other/evaluation/again.json")["seen_in_training"] == 25


def test_training_data_that_are_gone_are_not_counted(command, run_folder, data_folder, caplog):
    shutil.copytree(run_folder / "best", "copy")
    details = json.loads(Path("copy/minillm.json").read_text())
    details["config"]["data"]["path"] = "/gone"
    Path("copy/minillm.json").write_text(json.dumps(details))
    evaluate = ["evaluation.seeds=[10]", "evaluation.greedy=false", "evaluation.limit=2"]
    data = f"data.path={data_folder}"
    assert command("evaluate", "copy", *evaluate, data, "output=other").status == 0
    assert "not counted: there is no file or folder /gone" in caplog.text
    assert "seen_in_training" not in numbers("other/evaluation/tiny.json")


def test_a_folder_without_training_can_be_scored(command, settings, run_folder):
    """Any causal LM in Hugging Face format; results go below runs/."""
    Path("run/best/minillm.json").unlink()
    shutil.move("run/best", "plain")
    outcome = command("evaluate", "plain", *settings, "evaluation.limit=2", "evaluation.seeds=[1]")
    assert outcome.status == 0, outcome.err
    result = numbers(next(Path("runs").glob("plain-*/evaluation/tiny.json")))
    assert result["method"] == "plain" and result["training"] is None


def test_reverse_kl_is_scored_if_a_teacher_is_named(command, run_folder):
    options = ["evaluation.seeds=[1]", "evaluation.limit=2", "teacher.path=run/best"]
    assert command("evaluate", "run", *options).status == 0
    reverse_kl = numbers("run/evaluation/tiny.json")["metrics"]["reverse_kl"]
    assert reverse_kl["mean"] == pytest.approx(0, abs=1e-6) and reverse_kl["greedy"] is None


def test_only_the_named_metrics_are_scored(command, run_folder):
    options = ["evaluation.seeds=[1]", "evaluation.limit=2", "evaluation.greedy=false"]
    metrics = "evaluation.metrics=[exact_match,reverse_kl]"
    assert command("evaluate", "run", *options, metrics).status == 0
    scored = numbers("run/evaluation/tiny.json")["metrics"]
    assert scored.keys() == {"exact_match", "reverse_kl"} and scored["reverse_kl"] is None
    outcome = command("report", "run", "--output", "tables")
    assert outcome.status == 2 and "--metric rougeL: no result" in outcome.err
    outcome = command("report", "run", "--output", "tables", "--metric", "exact_match")
    assert outcome.status == 0 and Path("tables/exact_match.png").is_file()


def test_only_evaluation_needs_the_folder_of_the_teacher(command, run_folder):
    options = ["evaluation.seeds=[1]", "evaluation.limit=2"]
    config = Path("run/config.yaml")
    config.write_text(config.read_text().replace("teacher:\n  path: null", "teacher:\n  path: ./x"))
    outcome = command("evaluate", "run", *options)
    assert outcome.status == 2 and "/x: there is no such folder" in outcome.err
    assert "teacher.path=/" in outcome.err and "null" in outcome.err
    assert command("evaluate", "run", *options, "teacher.path=null").status == 0
    assert command("generate", "run", *options).status == 0


def test_responses_are_the_same_twice(command, run_folder):
    for arguments in (["--prompt", "Mix red", "--prompt", "Mix it"], ["evaluation.limit=3"]):
        outcome = command("generate", "run", *arguments)
        assert outcome.status == 0
        lines = [json.loads(line) for line in outcome.out.splitlines()]
        assert len(lines) in (2, 3) and all(line.keys() == {"prompt", "response"} for line in lines)
        assert command("generate", "run", *arguments).out == outcome.out


def test_a_prompt_over_the_limit_is_refused(command, run_folder):
    outcome = command("generate", "run", "--prompt", "Mix red", "--prompt", "Mix red " * 40)
    assert outcome.status == 2 and outcome.out == ""
    assert "1 of 2 prompts" in outcome.err and "data.max_prompt_length=32" in outcome.err
    outcome = command("generate", "run", "--prompt", "Mix red " * 40)
    assert outcome.status == 2 and "data.max_prompt_length=32" in outcome.err


def test_folders_that_hold_no_model_are_refused(command, run_folder):
    shutil.rmtree("run/best")
    outcome = command("evaluate", "run")
    assert outcome.status == 2 and "run is a run without a checkpoint" in outcome.err
    Path("run/config.yaml").write_text("name: something else\n")
    Path("run/best").mkdir()
    outcome = command("evaluate", "run")
    assert outcome.status == 2 and "not the config of a run" in outcome.err


def test_report_from_results(command, run_folder):
    assert command("evaluate", "run", "evaluation.seeds=[10]").status == 0
    outcome = command("report", "run", "--output", "tables")
    assert outcome.status == 0, outcome.err
    assert "| tiny" in outcome.out and "gpt2 16x1" in outcome.out
    assert {"table.md", "table.csv", "results.json"} <= {x.name for x in Path("tables").iterdir()}
    outcome = command("report", "nowhere", "--output", "other")
    assert outcome.status == 2 and "nowhere" in outcome.err and not Path("other").exists()


def test_frontiers_are_measured_and_reported(command, settings, run_folder):
    """Also with `select_by=frontier`. Greedy decoding is an end point although it is off."""
    options = ["student.path=run/best", "training.select_by=frontier", "training.frontier=[0.5,2]"]
    outcome = command("train", *settings, *options, "output=runs/kd", "evaluation.name=kd")
    assert outcome.status == 0, outcome.err
    history = json.loads(Path("runs/kd/summary.json").read_text())["history"]
    assert all({"greedy", "frontier"} <= set(point) for point in history)
    for name in ("summary.json", "metrics.jsonl"):
        assert "NaN" not in Path("runs/kd", name).read_text()
    options = ["evaluation.seeds=[1]", "evaluation.greedy=false", "evaluation.frontier=[0.5,1]",
               "evaluation.frontier_top_p=[0.5]", "teacher.path=run/best"]  # fmt: skip
    for folder in ("run", "runs/kd"):
        outcome = command("evaluate", folder, *options)
        assert outcome.status == 0, outcome.err
    frontier = numbers("runs/kd/evaluation/tiny.json")["frontier"]
    assert [point["temperature"] for point in frontier["points"]] == [0, 0.5, 1, 1]
    for point in frontier["points"]:
        is_known = point["temperature"] > 0 and point["top_p"] == 1
        assert (point["values"]["reverse_kl"] is not None) == is_known
    outcome = command("report", "run", "runs/kd", "--output", "tables")
    assert outcome.status == 0 and "## Quality and diversity" in outcome.out
    assert Path("tables/frontier.png").is_file()
    outcome = command("report", "run", "runs/kd", "--output", "tables", "--diversity", "0.01")
    assert outcome.status == 2 and "--diversity 0.01: no two methods" in outcome.err


def test_the_loss_on_gold_responses_is_the_same_for_all_seeds(command, run_folder, settings):
    """It is the loss of a validation on the same inputs, and greedy decoding has none."""
    metrics = "evaluation.metrics=[lm_loss,length]"
    data = ["data.validation=test.jsonl", "evaluation.seeds=[1,2]"]
    assert command("evaluate", "run", metrics, *data).status == 0
    loss = numbers("run/evaluation/tiny.json")["metrics"]["lm_loss"]
    assert loss["std"] == 0 and loss["greedy"] is None and len(loss["weights"]) == 10
    assert loss["ci_low"] < loss["mean"] < loss["ci_high"]
    kept = ["student.path=run/best", "data.validation=test.jsonl", "training.steps=1",
            "training.lr=1e-30", "method=sft", "output=same"]  # fmt: skip
    kept = [text for text in settings if "validation_size" not in text] + kept
    assert command("train", *kept).status == 0
    history = json.loads(Path("same/summary.json").read_text())["history"]
    assert loss["mean"] == pytest.approx(history[0]["loss"], rel=1e-5)
    outcome = command("report", "run", "--output", "tables", "--metric", "lm_loss")
    assert outcome.status == 0 and "LM loss" in outcome.out


def test_the_exposure_bias_is_in_result_and_output(command, settings, run_folder, caplog):
    other = ["student.path=run/best", "training.lr=0.1", "training.select_by=last", "method=sft"]
    assert command("train", *settings, *other, "output=other").status == 0
    samples = ["evaluation.exposure_samples=2", "evaluation.metrics=[rougeL]"]
    options = [*samples, "evaluation.seeds=[1]", "teacher.path=run/best"]
    outcome = command("evaluate", "other", *options)
    assert outcome.status == 0, outcome.err
    bias = numbers("other/evaluation/tiny.json")["exposure_bias"]
    assert bias["samples"] == 2 and bias["student_share"][0] == bias["teacher_share"][0] == 1
    assert bias["excess_error"][0] == pytest.approx(0, abs=0.01)  # both read the prompt first
    assert bias["ci_low"][-1] < bias["excess_error"][-1] < bias["ci_high"][-1]
    assert len(bias["excess_error"]) <= 8 and "ExAccErr (%)" in caplog.text
    assert command("report", "other", "--output", "tables").status == 0
    outcome = command("evaluate", "other", *samples, "teacher.path=null", "overwrite=true")
    assert outcome.status == 2 and "teacher.path=null. Add teacher.kind=local" in outcome.err


def test_labelled_rows_have_accuracy_and_calibration_error(command, run_folder, caplog):
    texts = [{"text": f"mix {i}", "label": [True, False, 2][i % 3]} for i in range(12)]
    write_jsonl(Path("labelled.jsonl"), texts)
    data = ["data.path=.", "data.test=labelled.jsonl", "data.name=mixed", "data.instruction=Which?",
            "data.columns={input:text,references:label}"]  # fmt: skip
    options = [*data, "evaluation.metrics=[accuracy,ece]", "evaluation.seeds=[1]"]
    words = ["data.labels.true=red", "data.labels.false=dark blue", "data.labels.2=green"]
    assert command("data", *data, *words, "data.kind=jsonl", "data.test_only=true",
                   "student.path=run/best").out.endswith("Which?\nmix 0\n=> red\n")  # fmt: skip
    outcome = command("evaluate", "run", *options, *words)
    assert outcome.status == 0, outcome.err
    metrics = numbers("run/evaluation/mixed.json")["metrics"]
    accuracy, error = metrics["accuracy"], metrics["ece"]
    assert set(accuracy["per_input"]) <= {0, 100} and accuracy["greedy"] is None
    assert 0 <= error["mean"] <= 1 and error["mean"] == pytest.approx(sum(error["per_input"]) / 12)
    assert error["ci_low"] <= error["mean"] <= error["ci_high"]
    row = json.loads(Path("run/evaluation/mixed.responses.jsonl").read_text().splitlines()[1])
    assert row["references"] == ["dark blue"] and "accuracy" in row
    outcome = command("evaluate", "run", *options, *words[:2], "overwrite=true")
    assert outcome.status == 2 and "line 3: the label '2' in 'label' has no word" in outcome.err
    outcome = command("evaluate", "run", *options, *words, "data.labels.2=red")
    assert outcome.status == 2 and "at least two different label words" in outcome.err
    outcome = command("evaluate", "run", *options)
    assert outcome.status == 2 and "accuracy and ece need label words" in outcome.err


def test_a_new_metric_is_used_everywhere(command, settings, run_folder, monkeypatch):
    """Registered once, it is in validation, selection, result file, responses and report."""
    monkeypatch.setitem(METRICS, "letterCount", Letters())
    options = ["student.path=run/best", "training.select_by=letterCount", "training.lr=0.1"]
    outcome = command("train", *settings, *options, "output=runs/short")
    assert outcome.status == 0, outcome.err
    summary = json.loads(Path("runs/short/summary.json").read_text())
    counts = [point["letterCount"] for point in summary["history"]]
    assert len(set(counts)) > 1 and summary["best"]["letterCount"] == min(counts)
    best = json.loads(Path("runs/short/best/minillm.json").read_text())
    assert best["step"] == summary["best"]["step"] and best["selected_by"] == "letterCount"
    assert command("evaluate", "runs/short", "evaluation.seeds=[1,2]").status == 0
    metric = numbers("runs/short/evaluation/tiny.json")["metrics"]["letterCount"]
    assert len(metric["per_input"]) == len(metric["weights"]) == 10 and metric["greedy"] > 0
    row = json.loads(Path("runs/short/evaluation/tiny.responses.jsonl").read_text().splitlines()[0])
    assert row["letterCount"] == len(row["response"])
    outcome = command("report", "runs", "--output", "tables", "--metric", "letterCount")
    assert (
        outcome.status == 0 and "letters" in outcome.out and f"{metric['mean']:.2f}" in outcome.out
    )
    names = {path.name for path in Path("tables").iterdir()}
    assert names >= {"letter_count.png", "training.png"}


def test_the_frontier_does_not_sample_again_what_was_sampled(command, run_folder, monkeypatch):
    decoded = []

    def counting(*arguments, **options):
        decoded.append((arguments[3].temperature, options["seed"]))
        return score(*arguments, **options)

    monkeypatch.setattr(frontier_sampling, "score", counting)
    options = ["evaluation.seeds=[3]", "evaluation.frontier=[0.5,1]", "teacher.path=run/best"]
    assert command("evaluate", "run", *options).status == 0
    assert decoded == [(0.5, 3), (0.5, 4), (1.0, 4)]
    result = numbers("run/evaluation/tiny.json")
    assert (
        command("evaluate", "run", *options, "evaluation.temperature=0.9", "output=b").status == 0
    )
    assert result["frontier"] == numbers("b/evaluation/tiny.json")["frontier"]
