"""A teacher that is not where the student is."""

import json
from pathlib import Path

import pytest
import torch

from minillm.models.heads import output_head
from minillm.models.placement import place
from tests.tiny import tiny_model

CPU = torch.device("cpu")


def test_the_teacher_is_on_its_device_while_at_work_alone():
    teacher = tiny_model(2)
    weight = output_head(teacher).weight.detach().clone()
    placed = place(teacher, CPU, "cuda:1", offload=True)
    moves = []
    placed.module.to = moves.append  # there is one device here
    with placed.whole() as whole:
        assert moves == [torch.device("cuda:1")]
        assert whole.head is placed.head
    assert moves == [torch.device("cuda:1"), "cpu"]
    assert torch.equal(output_head(placed).weight, weight)
    assert output_head(placed).weight is not teacher.module.get_output_embeddings().weight


def test_a_teacher_beside_the_student_is_not_copied():
    teacher = tiny_model(2)
    placed = place(teacher, CPU, None, offload=False)
    assert placed.head is None
    assert output_head(placed).weight is teacher.module.get_output_embeddings().weight


def test_offloading_changes_no_figure(command, settings, teacher):
    figures = []
    for offload in ("false", "true"):
        outcome = command(
            "train", *settings, "method=minillm", f"student.path={teacher}/best",
            f"teacher.path={teacher}/best", f"runtime.teacher_offload={offload}",
            f"output=run_{offload}",
        )  # fmt: skip
        assert outcome.status == 0, outcome.err
        lines = Path(f"run_{offload}", "metrics.jsonl").read_text().splitlines()
        timed = ("seconds", "speed/", "rollout/seconds")
        figures += [
            [
                {k: x for k, x in json.loads(line).items() if not k.startswith(timed)}
                for line in lines
            ]
        ]
    assert len(figures[0]) > 2
    assert figures[0] == figures[1]


LM_KD = ["method=minillm", "data.plain_text=x", "method.lm_coef=1", "method.lm_kd_ratio=0.5"]


@pytest.mark.parametrize("method", [["method=kd"], LM_KD])
def test_offloading_is_refused_where_every_step_needs_the_teacher(refused, teacher, method):
    message = refused(*method, f"teacher.path={teacher}/best", "runtime.teacher_offload=true")
    assert "at every step" in message
