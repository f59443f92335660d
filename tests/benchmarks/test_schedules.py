"""Benchmarks: both schedules compute the same loss, and the results are written to a table."""

import json
import sys

import pytest
import torch

from benchmarks import peers, step
from benchmarks.measure import peak_memory
from benchmarks.official import rollout_loss
from benchmarks.ours import minillm_method
from benchmarks.shapes import SHAPES, build_problem
from minillm.errors import InputError
from minillm.objectives.minillm import advantages, importance_weights

(TINY,) = SHAPES["tiny"]


@pytest.mark.parametrize("architecture", ["gpt2", "llama"])
def test_both_schedules_compute_the_same_loss_of_a_rollout(architecture):
    problem = build_problem(TINY, architecture, "cpu")
    method = minillm_method(problem, inner_epochs=1)
    part = method.parts["tokens"]
    rollout, _ = part.source.collect()
    assert rollout.mask.sum(-1).unique().numel() > 1, "the test needs padding"
    part.source.collect = lambda: (rollout, {})
    module = problem.student.module
    batch, tokens = next(method.batches()), rollout.sequences.tokens
    assert len(batch.micro_batches) == 2
    ours = sum(method.loss(module, x, {"tokens": tokens})[0] for x in batch.micro_batches)
    log_probs = rollout.student_log_probs, rollout.mixture_log_probs
    weights = importance_weights(*log_probs, part.loss.settings)
    advantage = advantages(
        log_probs[0],
        rollout.teacher_log_probs,
        log_probs[1],
        rollout.mask,
        settings=part.loss.settings,
    )
    official = (
        rollout_loss(problem.student, problem.teacher, rollout, weights, advantage,
                     settings=part.loss.settings, tokens=tokens)
    )  # fmt: skip
    parameters = [x for x in module.parameters() if x.requires_grad]
    gradients = [torch.autograd.grad(loss, parameters) for loss in (ours, official)]
    torch.testing.assert_close(ours, official, atol=1e-6, rtol=1e-6)
    for our_gradient, official_gradient in zip(*gradients, strict=True):
        torch.testing.assert_close(our_gradient, official_gradient, atol=1e-6, rtol=1e-5)


def test_step_writes_its_rows_and_the_table_without_trl(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(peers, "installed_version", lambda: None)
    command = ["step", "--shape", "tiny", "--repeats", "1", "--output", str(tmp_path)]
    for _ in range(2):  # the second run replaces the rows of the first
        monkeypatch.setattr(sys, "argv", command)
        step.main()
    assert "trl 1.14.2 is not installed" in capsys.readouterr().out
    written = json.loads((tmp_path / "step.json").read_text())
    names = [row["name"] for row in written["rows"]]
    assert names == [None, step.OFFICIAL, step.BOUND]
    keys = {"shape", "measure", "ours", "other", "name", "ratio", "target", "met"}
    assert all(keys <= row.keys() and row["ours"] > 0 for row in written["rows"])
    table = (tmp_path / "README.md").read_text()
    assert table.count("| *tiny*: ") == 3 and "benchmarks.step" in table


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_paper_shape_is_refused_on_a_cpu(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["step", "--shape", "paper"])
    with pytest.raises(InputError, match="sees no GPU"):
        step.main()
    monkeypatch.setattr(sys, "argv", ["step", "--shape", "paper", "--device", "cpu"])
    with pytest.raises(InputError, match="for a GPU only"):
        step.main()


def test_peak_memory_includes_freed_memory():
    peak = peak_memory(lambda: torch.ones(40 * 2**20 // 4).sum(), torch.device("cpu"))
    assert 35 < peak < 60
