"""Every method on a device that is not the CPU: nothing mixes the two, and the host waits rarely.

`test_devices.py` runs this file in a process of its own.
"""

import json
from collections import Counter
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from minillm.data.batches import PromptBatch
from minillm.devices import to_device
from minillm.sampling import generate
from minillm.sampling.sampler import Decoding, sample
from minillm.sources import rollouts, student_written
from minillm.training.clock import Clock
from tests.devices.pretended import CPU, DEVICE, pretended_device
from tests.sampling.test_caches import FAMILIES, PROMPTS
from tests.tiny import EOS, tiny_model

STEPS = 3


@pytest.fixture
def waits(monkeypatch):
    """The device, also for commands; counts the waits."""
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", str(DEVICE))
    with pretended_device() as counter:
        yield counter


def test_the_device_counts_waits_and_refuses_to_mix(waits):
    values = to_device(torch.tensor([[1.0, 2.0], [3.0, 0.0]]), DEVICE)
    values[:, 1] += 1
    moved = values.sum(0)[0] * torch.tensor(2.0)
    assert waits.total() == 0 and values.device == moved.device == DEVICE
    reads = [values.tolist, values.max().item, values.nonzero, lambda: values[values > 1],
             values.cpu, lambda: torch.tensor([1], device=DEVICE), lambda: bool(moved),
             lambda: torch.ones(2).to(DEVICE)]  # fmt: skip
    for count, read in enumerate(reads, start=1):
        read()
        assert waits.total() == count
    assert values.tolist() == [[1.0, 3.0], [3.0, 1.0]]
    for mix in (lambda: values + torch.ones(2, 2), lambda: values[torch.tensor([0])]):
        with pytest.raises(RuntimeError, match="mixes the CPU"):
            mix()


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("gpt2", {}),
        ("gpt2", {"batch_size": 4}),
        ("gpt2", {"alpha": 0.3}),
        ("gpt2", {"alpha": 0.1, "batch_size": 4, "computes_reverse_kl": True}),
        # GPT-Neo copies a number to the device in each of its layers.
        *((kind, {"alpha": 0.3, "batch_size": 4, "coin_group": 3})
          for kind in FAMILIES if kind != "gpt_neo"),
    ],
)  # fmt: skip
def test_a_decoding_step_waits_once(kind, options):
    student, teacher = (tiny_model(seed, kind=kind) for seed in (1, 2))
    prompts = PromptBatch.pad(PROMPTS[:16], EOS)

    def run(device):
        with pretended_device() as waits:
            models = [model.to(device) for model in (student, teacher)]
            moved, before = prompts.to(device), waits.total()
            result = sample(
                models[0], moved, Decoding(8), teacher=models[1] if "alpha" in options else None,
                generator=torch.Generator().manual_seed(3), **options,
            )  # fmt: skip
            return result, waits.total() - before, result.state_dict()

    _, _, expected = run(CPU)
    result, waits, state = run(DEVICE)
    assert result.mask.device == DEVICE
    assert waits <= result.steps, waits
    for name, values in (state | state.pop("sequences")).items():
        same = (expected | expected["sequences"])[name]
        values = values.cpu() if torch.is_tensor(values) else values
        tolerance = 1e-5 if kind == "gptj" else 1e-10  # GPT-J computes attention in float32
        torch.testing.assert_close(values, same, atol=tolerance, rtol=0)


def test_evaluation_waits_once_per_step_and_once_per_batch(waits):
    model = tiny_model(1).to(DEVICE)
    waits.clear()
    batches = list(generate.generate(model, PROMPTS[:20], Decoding(8), batch_size=4, seed=1))
    windows = {rollout.steps for _, rollout in batches}
    assert waits.total() <= sum(windows)
    for number, (_, rollout) in enumerate(batches):
        waits.clear()
        assert len(rollout.responses) == 4, number
        assert waits.total() == 1


@pytest.fixture
def train(command, settings, teacher, waits, monkeypatch):
    """Trains on the device; returns the waits of each phase, and of each call of the sampler."""
    phases, calls = Counter(), []
    original_phase = Clock.phase

    @contextmanager
    def phase(self, name):
        before = waits.total()
        with original_phase(self, name):
            yield
        phases[name] += waits.total() - before

    def counted(*arguments, **options):
        before = waits.total()
        result = sample(*arguments, **options)
        calls.append((waits.total() - before, result.steps))
        return result

    monkeypatch.setattr(Clock, "phase", phase)
    for module in (generate, rollouts, student_written):
        monkeypatch.setattr(module, "sample", counted)

    def run(*options):
        models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
        models = [x for x in models if not any(o.startswith("teacher.kind") for o in options)]
        models = models or [f"student.path={teacher}/best"]
        outcome = command(
            "train", *settings, f"training.steps={STEPS}", "training.micro_batch_size=2",
            "training.evaluate_every=99", *models, "output=out", *options,
        )  # fmt: skip
        assert outcome.status == 0, outcome.err
        return phases, calls

    return run


PLAIN_TEXT = ["method.lm_coef=1", "method.lm_length=16", "method.lm_batch_size=2",
              "method.lm_kd_ratio=0.5", "data.plain_text=text.txt"]  # fmt: skip
ROLLOUTS = ["method.rollouts_per_collection=8", "method.sampling_batch_size=3"]
METHODS = {
    "sft": ["method=sft"],
    "kd": ["method=kd"],
    "kd, top k": ["method=kd", "teacher.top_k=5"],
    "kd, averaged student": ["method=kd", "teacher.kind=average"],
    "seqkd": ["method=seqkd", "method.generation_batch_size=4"],
    "gkd": ["method=gkd", "method.sampling_batch_size=2"],
    "imitkd": ["method=imitkd"],
    "hidden_states": ["method=hidden_states"],
    "minillm": ["method=minillm", *ROLLOUTS, *PLAIN_TEXT],
    "minillm, official": ["method=minillm", *ROLLOUTS, "method.variant=official"],
    "minillm_average_reward": ["method=minillm_average_reward", *ROLLOUTS],
}  # fmt: skip


@pytest.mark.parametrize("name", METHODS)
def test_every_method_trains(train, name):
    Path("text.txt").write_text("some words of plain text\n" * 20)
    phases, calls = train(*METHODS[name])
    assert calls, "the validation samples"
    for waits, steps in calls:
        assert waits <= steps
    # The norm of the gradient says whether a step is finite. The policy gradient also reads the
    # ratios of the two micro-batches that follow a collection.
    assert phases["optimize"] == STEPS + 2 * name.startswith("minillm")
    # Responses of the student are read once for each step.
    assert phases["collect"] <= sum(steps for _, steps in calls) + STEPS


def test_a_model_is_evaluated_and_generates(train, command):
    train("method=kd")
    options = ["evaluation.seeds=[1,2]", "evaluation.frontier=[0.5,1.0]", "evaluation.batch_size=4",
               "evaluation.frontier_samples=2"]  # fmt: skip
    outcome = command("evaluate", "out", *options)
    assert outcome.status == 0, outcome.err
    result = json.loads(Path("out/evaluation/tiny.json").read_text())
    assert len(result["frontier"]["points"]) == 3
    outcome = command("generate", "out", "--prompt", "Mix red")
    assert outcome.status == 0, outcome.err
    assert json.loads(outcome.out)["prompt"].strip() == "Mix red"


@pytest.mark.parametrize(
    "options",
    [
        ["method=kd", "runtime.teacher_device=cpu"],
        ["method=minillm", *ROLLOUTS, "runtime.teacher_device=cpu"],
        ["method=minillm", *ROLLOUTS, "runtime.teacher_offload=true"],
    ],
)
def test_the_teacher_may_be_in_host_memory(train, options):
    train(*options)


def test_a_run_continues_in_the_middle_of_a_collection(train):
    options = ["method=minillm", *ROLLOUTS, "training.checkpoint_every=2"]
    train(*options)
    weights = Path("out/last/model.safetensors")
    expected = weights.read_bytes()
    Path("out/checkpoints/step-000003").rename("aside")
    Path("out/summary.json").unlink()
    train(*options, "resume=auto")
    assert Path("out/checkpoints/step-000003").is_dir()
    assert weights.read_bytes() == expected
