"""A student in half precision is evaluated, but trained only with DeepSpeed's float32 copy."""

import shutil

import pytest
import torch

from minillm.compose import load_config
from minillm.errors import InputError
from minillm.runtime import check_training_precision, use_tf32
from minillm.sampling.sampler import sample
from tests.conftest import BUILT

BF16 = torch.bfloat16


@pytest.mark.parametrize("dtype", ["bfloat16", "auto"])
def test_a_student_in_half_precision_is_evaluated_but_not_trained(refused, command, teacher, dtype):
    student = f"student.dtype={dtype}"
    message = refused(f"student.path={teacher}/best", student)
    assert f"{student} is not allowed in training" in message and "runtime=bf16" in message
    outcome = command("evaluate", f"{teacher}", student, "output=scores")
    assert outcome.status == 0, outcome.err


def test_evaluate_and_generate_have_the_precision_of_the_settings(command, teacher, monkeypatch):
    used = set()

    def recorded(model, *arguments, **options):
        used.add((model.module.dtype, model.autocast))
        return sample(model, *arguments, **options)

    monkeypatch.setattr("minillm.sampling.generate.sample", recorded)
    model = shutil.copytree(teacher / "best", "model")
    for precision, dtype, autocast in (("no", "float32", None), ("bf16", "float32", BF16),
                                       ("no", "bfloat16", None)):  # fmt: skip
        settings = f"runtime.mixed_precision={precision}", f"student.dtype={dtype}"
        for words in (["evaluate", model, f"output={precision}_{dtype}"],
                      ["generate", model, "--prompt", "Mix red"]):  # fmt: skip
            used.clear()
            outcome = command(*words, *settings)
            assert outcome.status == 0, outcome.err
            assert used == {(getattr(torch, dtype), autocast)}


def test_a_result_in_another_precision_is_another_result(command, teacher):
    model = shutil.copytree(teacher / "best", "model")
    assert command("evaluate", model, "output=scores").status == 0
    outcome = command("evaluate", model, "output=scores", "runtime.mixed_precision=bf16")
    assert outcome.status == 2
    assert "(runtime.mixed_precision was no, now bf16)" in outcome.err


def test_deepspeed_in_bfloat16_accepts_a_student_in_bfloat16(settings, monkeypatch):
    config = load_config([*settings, *BUILT, "student.dtype=bfloat16", "runtime=bf16"])
    with pytest.raises(InputError, match=r"student\.dtype=bfloat16 is not allowed in training"):
        check_training_precision(config)
    monkeypatch.setenv("ACCELERATE_USE_DEEPSPEED", "true")
    check_training_precision(config)


def test_tf32_is_for_gpus(command, settings, monkeypatch, caplog):
    chosen = []
    monkeypatch.setattr(torch, "set_float32_matmul_precision", chosen.append)
    run = ["train", *settings, *BUILT, "dry_run=true", "runtime.tf32=true"]
    assert command(*run).status == 0
    assert "runtime.tf32=true has no effect on the device cpu" in caplog.text and not chosen
    monkeypatch.setattr(torch.cuda, "is_tf32_supported", lambda: True)
    use_tf32(torch.device("cuda"))
    assert chosen == ["high"]
