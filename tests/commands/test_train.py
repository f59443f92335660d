"""`minillm train` with every method: the files of a run, and settings that alter no result."""

import json
import math
import os
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from safetensors.torch import load_file

from minillm.config import Config, MiniLLMConfig
from minillm.config_checks import check_processes
from minillm.errors import InputError
from minillm.methods import policy_gradient
from minillm.sources.rollouts import Rollouts
from tests.conftest import BUILT

ALWAYS = {"optimizer/lr", "optimizer/grad_norm", "speed/tokens_per_second", "seconds/collect",
          "seconds/optimize", "seconds/training", "seconds/validate", "validation/loss",
          "validation/rougeL", "validation/length", "validation/unfinished",
          "validation/empty"}  # fmt: skip
METRICS = {
    "sft": {"loss/cross_entropy"},
    "kd": {"loss/cross_entropy", "loss/forward_kl", "validation/reverse_kl"},
    "seqkd": {"loss/cross_entropy", "validation/reverse_kl"},
    "gkd": {"loss/cross_entropy", "loss/jsd", "rollout/student_share", "rollout/length"},
    "imitkd": {"loss/cross_entropy", "loss/forward_kl", "rollout/student_share"},
    "hidden_states": {"loss/cross_entropy", "loss/forward_kl", "loss/states"},
    "minillm": {
        "loss/long", "loss/single_step", "policy/reverse_kl", "policy/clip_share", "policy/ratio",
        "policy/first_ratio", "policy/first_log_ratio",
        "rollout/length", "rollout/empty_share", "rollout/unfinished_share", "rollout/repetition",
        "rollout/reward", "rollout/teacher_calls_per_token", "rollout/seconds", "weights/mean",
        "weights/max", "weights/min", "weights/effective_share", "validation/reverse_kl",
    },
}  # fmt: skip


@pytest.fixture
def train(command, settings, teacher):
    """Trains the tiny student with a method; returns the lines of metrics.jsonl."""

    def run(method, *overrides, output="out"):
        models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
        if method == "minillm":
            models.append("method.rollouts_per_collection=8")
        outcome = command(
            "train", *settings, f"method={method}", *models, f"output={output}", *overrides
        )
        assert outcome.status == 0, outcome.err
        return [json.loads(line) for line in open_lines(f"{output}/metrics.jsonl")]

    return run


def open_lines(path):
    return Path(path).read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("method", METRICS)
def test_a_run_writes_all_metrics_and_files(train, method):
    lines = train(method)
    names = {name for line in lines for name in line}
    assert names >= ALWAYS | METRICS[method], names
    assert [line["step"] for line in lines] == [0, 1, 2, 2, 3, 3]
    files = {path.name for path in Path("out").iterdir()}
    assert files == {
        "best", "last", "checkpoints", "logs", "config.yaml", "provenance.json", "metrics.jsonl",
        "summary.json"
    }  # fmt: skip
    assert list(Path("out/logs").rglob("events.out.tfevents.*"))
    assert json.loads(Path("out/summary.json").read_text())["steps"] == 3
    saved = yaml.safe_load(Path("out/config.yaml").read_text())
    assert saved.keys() == Config.__dataclass_fields__.keys()
    assert saved["method"]["name"] == method and saved["training"]["lr"] == 1e-3
    provenance = json.loads(Path("out/provenance.json").read_text())
    assert provenance["command"].startswith("minillm") and provenance["versions"]["torch"]


@pytest.mark.parametrize("method", ["sft", "kd", "minillm"])
def test_the_size_of_micro_batches_does_not_change_the_result(train, settings, command, method):
    """Llama has no biases. The gradient of a bias can be 0, and Adam amplifies its round-off."""
    models = ["student.path=null", "student.architecture=llama", "student.hidden_size=16",
              "training.steps=2"]  # fmt: skip
    weights = {}
    for size in ("null", 3, 1):
        train(method, *models, f"training.micro_batch_size={size}", output=f"out{size}")
        weights[size] = load_file(f"out{size}/last/model.safetensors")
    for size in (3, 1):
        for name, expected in weights["null"].items():
            assert (weights[size][name] - expected).abs().max() < 1e-5, (size, name)
    start = load_file("outnull/best/model.safetensors")  # step 0, because every ROUGE-L is 0
    changes = [(start[name] - weight).abs().max() for name, weight in weights["null"].items()]
    assert max(changes) > 1e-4


@pytest.mark.parametrize(
    ("method", "options", "sequences"),
    [
        ("sft", [], 32),  # 24 inputs, 8 of them with two references
        ("seqkd", ["method.samples_per_prompt=2"], 48),
        ("minillm", ["method.inner_epochs=2"], 48),
    ],
)
def test_an_epoch_is_one_pass_over_the_training_sequences(train, method, options, sequences):
    lines = train(method, "training.steps=null", "training.epochs=1", *options,
                  "data.hold_out=first", "data.validation_size=6",
                  "training.evaluate_every=99")  # fmt: skip
    assert lines[-1]["step"] == sequences / 4


def test_plain_text_adds_its_loss(train, refused, teacher):
    Path("text.txt").write_text("some words of plain text\n" * 20)
    options = ["method.lm_coef=1", "method.lm_length=16", "method.lm_batch_size=2"]
    lines = train("minillm", *options, "method.lm_kd_ratio=0.5", "data.plain_text=text.txt")
    losses = [line["loss/plain_text"] for line in lines if "loss/plain_text" in line]
    assert len(losses) == 3 and all(0 < loss < 10 for loss in losses)
    models = ["method=minillm", f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
    Path("out").rename("done")
    options[1] = "method.lm_length=39"
    Path("text.txt").write_text("too little")
    message = refused(*models, *options, "data.plain_text=text.txt")
    assert "text.txt" in message and "method.lm_length=39" in message and "smaller" in message


def test_a_missing_corpus_is_refused_before_models_are_loaded(refused, tmp_path):
    options = ["method=minillm", "method.lm_coef=1", "student.path=gone", "teacher.path=gone"]
    message = refused(*options)
    assert "data.plain_text=FILE" in message and "method.lm_coef=0" in message
    assert "no file gone.txt" in refused(*options, "data.plain_text=gone.txt")
    Path("text.txt").touch()
    Path("text.parquet").touch()
    assert "neither a text nor" in refused(*options, "data.plain_text=text.parquet")
    cache = "data.plain_text_cache=out/cache"
    assert "files of the run" in refused(*options, "data.plain_text=text.txt", cache)


def test_an_unused_corpus_is_reported(train, caplog):
    train("sft", "data.plain_text=text.txt")
    assert "data.plain_text=text.txt is not used" in caplog.text and "lm_coef=1" in caplog.text


def test_a_dry_run_does_not_tokenise_the_corpus(command, settings, teacher):
    Path("text.txt").write_text("some words of plain text\n" * 20)
    models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
    plain_text = ["method.lm_coef=1", "method.lm_length=16", "data.plain_text=text.txt"]
    outcome = command("train", *settings, "method=minillm", *models, *plain_text, "dry_run=true")
    assert outcome.status == 0, outcome.err
    assert [path.name for path in Path().iterdir()] == ["text.txt"]


def test_a_run_continues_with_the_same_corpus_only(train, settings, command, teacher):
    file = Path("text.txt")
    file.write_text("some words of plain text\n" * 20)
    options = ["method.lm_coef=1", "method.lm_length=16", "method.lm_batch_size=2",
               "data.plain_text=text.txt"]  # fmt: skip
    train("minillm", *options)
    resumed = [f"student.path={teacher}/best", f"teacher.path={teacher}/best", "method=minillm",
               "method.rollouts_per_collection=8", "output=out", "resume=auto",
               "training.steps=4"]  # fmt: skip
    file.write_text("more words of plain text\n" * 20)
    outcome = command("train", *settings, *options, *resumed)
    assert outcome.status == 2 and "other text than data.plain_text=text.txt" in outcome.err
    file.write_text("some words of plain text\n" * 20)
    assert command("train", *settings, *options, *resumed).status == 0


def test_the_same_seed_trains_the_same_student(train):
    train("minillm", output="one")
    train("minillm", output="two")
    weights = [Path(name, "last", "model.safetensors").read_bytes() for name in ("one", "two")]
    assert weights[0] == weights[1]


def test_wandb_without_a_key_runs_offline_and_logs_it(train, monkeypatch, caplog):
    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("WANDB_SILENT", "true")
    monkeypatch.setenv("NETRC", "/dev/null")
    train("sft", "runtime.trackers=[wandb]", "training.steps=1")
    assert "Weights & Biases" in caplog.text and "offline" in caplog.text
    assert list(Path("out/wandb").glob("offline-run-*/*.wandb"))


def test_a_loss_that_is_not_finite_stops_the_run(command, settings, teacher):
    for interval in (1, 99):  # a validation finds the loss, then a step
        outcome = command(
            "train", *settings, f"student.path={teacher}/best", "training.lr=1e30",
            f"training.evaluate_every={interval}", "output=out", "overwrite=true",
        )  # fmt: skip
        assert outcome.status == 3
        assert "finite" in outcome.err or "validation loss is nan" in outcome.err
        assert "out still contains the earlier best" in outcome.err and "training.lr" in outcome.err
        generated = command("generate", "out", "--prompt", "Mix red")
        assert generated.status == 0, generated.err
        assert not Path("out/summary.json").exists()


def test_batches_that_the_processes_cannot_share_evenly_are_refused():
    config = Config(method=MiniLLMConfig())
    check_processes(config, 4)
    config.method.lm_batch_size = 10  # not used while lm_coef is 0
    check_processes(config, 4)
    config.method.lm_coef = 1.0
    with pytest.raises(InputError, match=r"lm_batch_size=10 .* 4 processes"):
        check_processes(config, 4)
    config.method.lm_batch_size = 12
    config.method.rollouts_per_collection = 10
    with pytest.raises(InputError, match=r"rollouts_per_collection=10 .* 4 processes"):
        check_processes(config, 4)


def test_without_trackers_only_metrics_are_written(command, settings):
    outcome = command("train", *settings, *BUILT, "runtime.trackers=[]", "output=out")
    assert outcome.status == 0 and not Path("out/logs").exists()
    assert open_lines("out/metrics.jsonl")


def test_all_files_of_a_run_have_the_permissions_of_the_umask(command, settings):
    umask = os.umask(0o026)
    try:
        assert command("train", *settings, *BUILT, "output=out").status == 0
    finally:
        os.umask(umask)
    modes = {path: path.stat().st_mode & 0o777 for path in Path("out").rglob("*")}
    wrong = {
        str(path): oct(mode)
        for path, mode in modes.items()
        if mode != (0o751 if path.is_dir() else 0o640)
    }
    assert wrong == {}


def test_the_end_of_a_run_says_that_the_best_model_is_the_start(train, caplog):
    """Every ROUGE-L of this run is 0, and the loss falls."""
    train("sft", "training.steps=1")
    assert "No validation had a better ROUGE-L than the start" in caplog.messages[-1]
    train("sft", "training.steps=1", "training.select_by=loss", output="other")
    assert "than the start" not in caplog.messages[-1]


@pytest.mark.parametrize(("shift", "warnings"), [(0.0, 0), (0.01, 1)])
def test_a_ratio_that_is_not_1_before_the_first_update_is_told_once(
    train, monkeypatch, caplog, shift, warnings
):
    collect = Rollouts.collect

    def shifted(self):
        rollout, metrics = collect(self)
        return replace(rollout, student_log_probs=rollout.student_log_probs + shift), metrics

    monkeypatch.setattr(Rollouts, "collect", shifted)
    policy_gradient.warn_of_ratios.cache_clear()
    lines = train("minillm", "training.steps=4", "method.inner_epochs=1", "training.log_every=1")
    ratios = [line["policy/first_ratio"] for line in lines if "policy/first_ratio" in line]
    assert len(ratios) > 1 and ratios[0] == pytest.approx(math.exp(-shift), abs=1e-5)
    assert caplog.text.count("sampling and training compute different") == warnings
