"""Methods refuse unsuitable teachers. The averaged teacher changes at every precision."""

import pytest
import torch

from minillm.compose import load_config
from minillm.config import LoraConfig
from minillm.errors import InputError
from minillm.methods.build import check_method
from minillm.models.adapters import add_adapter
from minillm.teachers import AveragedTeacher
from tests.tiny import tiny_model

TEXT = ["data.plain_text=x", "method.lm_coef=1", "method.lm_kd_ratio=0.5"]
REFUSED = {
    "needs the whole distribution of every member": [
        "method=kd", "teacher.kind=ensemble", "teacher.members=[{path:gpt2}]"],
    "method=minillm does not read": ["method=minillm", "teacher.path=gpt2", *TEXT],
    "method=sft does not read": ["method=sft", "teacher.path=gpt2"],
    "reads the teacher at temperature 2.0, and L_PT at temperature 1": [
        "method=kd", "teacher.path=gpt2", "method.student_temperature=2", *TEXT],
}  # fmt: skip


@pytest.mark.parametrize("words", REFUSED)
def test_top_k_is_refused_if_a_method_cannot_use_it(words):
    with pytest.raises(InputError, match=words):
        check_method(load_config([*REFUSED[words], "teacher.top_k=5"]))


def test_a_run_with_the_top_k_can_be_evaluated():
    """The commands that score a model use the teacher of the run, but not its method."""
    config = load_config(["method=kd", "teacher.path=gpt2", "teacher.top_k=5"])
    check_method(config)
    saved = {"data": {}, "teacher": {"path": "gpt2", "top_k": 5}, "evaluation": {}, "runtime": {}}
    assert load_config([], saved).teacher.top_k == 5


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64])
def test_a_small_rate_moves_the_average_of_a_student_of_any_precision(dtype):
    student = tiny_model(1)
    student.module.to(dtype)
    teacher = AveragedTeacher.of(student, student.device, rate=0.01)
    start = [weight.clone() for weight in teacher.model.module.parameters()]
    with torch.no_grad():
        for weight in student.module.parameters():
            weight.mul_(1.05)
    for step in range(1, 101):
        teacher.after_step(student, step)
    share = 1 - 0.99**100
    weights = zip(start, teacher.model.module.parameters(), student.module.parameters(),
                  strict=True)  # fmt: skip
    for first, average, last in weights:
        torch.testing.assert_close(average, first + share * (last - first), rtol=1e-5, atol=1e-6)


def test_the_average_of_a_student_with_an_adapter_is_saved_without_the_base():
    student = tiny_model(1)
    add_adapter(student.module, LoraConfig(rank=2), seed=1)
    teacher = AveragedTeacher.of(student, student.device, rate=0.5)
    state = teacher.state_dict()
    assert state and all("lora_" in name for name in state)
    with torch.no_grad():
        for weight in student.module.parameters():
            if weight.requires_grad:
                weight.add_(1)
    teacher.after_step(student, 1)
    for name, weight in teacher.state_dict().items():
        torch.testing.assert_close(weight, state[name] + 0.5)
    teacher.load_state_dict(state)
    torch.testing.assert_close(teacher.state_dict(), state)
