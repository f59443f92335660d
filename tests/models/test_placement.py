"""A teacher that is not on the student's device."""

import json
from pathlib import Path

import pytest
import torch

from minillm.models.heads import output_head
from minillm.models.placement import place
from tests.tiny import tiny_model

CPU = torch.device("cpu")


def test_an_offloaded_teacher_is_on_its_device_only_inside_whole():
    teacher = tiny_model(2)
    weight = output_head(teacher).weight.detach().clone()
    placed = place(teacher, CPU, "cuda:1", offload=True)
    moves = []
    placed.module.to = moves.append  # records the moves; the device does not exist
    with placed.whole() as whole:
        assert whole.module is teacher.module
        assert moves == [torch.device("cuda:1")]
    assert moves == [torch.device("cuda:1"), CPU]
    assert torch.equal(output_head(placed).weight, weight)
    assert output_head(placed).weight is not teacher.module.get_output_embeddings().weight


def test_a_teacher_on_the_students_device_is_not_copied():
    teacher = tiny_model(2)
    placed = place(teacher, CPU, None, offload=False)
    assert placed.head is None
    assert output_head(placed).weight is teacher.module.get_output_embeddings().weight


def test_offloading_changes_no_metric(command, settings, teacher):
    runs = []
    for offload in ("false", "true"):
        outcome = command(
            "train", *settings, "method=minillm", f"student.path={teacher}/best",
            f"teacher.path={teacher}/best", f"runtime.teacher_offload={offload}",
            f"output=run_{offload}",
        )  # fmt: skip
        assert outcome.status == 0, outcome.err
        lines = Path(f"run_{offload}", "metrics.jsonl").read_text().splitlines()
        time_metrics = ("seconds", "speed/", "rollout/seconds")
        metrics = [
            {name: x for name, x in json.loads(line).items() if not name.startswith(time_metrics)}
            for line in lines
        ]
        runs.append(metrics)
    assert len(runs[0]) > 2
    assert runs[0] == runs[1]


LM_KD = ["method=minillm", "data.plain_text=x", "method.lm_coef=1", "method.lm_kd_ratio=0.5"]


@pytest.mark.parametrize("method", [["method=kd"], LM_KD])
def test_offloading_is_refused_if_every_step_needs_the_teacher(refused, teacher, method):
    message = refused(*method, f"teacher.path={teacher}/best", "runtime.teacher_offload=true")
    assert "in every step of method=" in message
