"""Steps, collections, tokens and passes of the teacher are those of a run."""

import json
from pathlib import Path

import pytest

from minillm.commands.plan import load_outline
from minillm.compose import load_config
from minillm.errors import InputError
from minillm.planning.speed import throughput
from minillm.planning.work import TeacherPasses, Work


@pytest.fixture
def planned(settings, teacher, command):
    """The outline of a training of the tiny models."""

    def load(*overrides: str):
        models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
        return load_outline(load_config([*settings, *models, *overrides]))[0]

    return load


MINILLM = ["method=minillm", "method.rollouts_per_collection=8", "training.steps=null",
           "training.epochs=0.5", "method.inner_epochs=2", "method.alpha=0.5",
           "data.max_response_length=6", "training.evaluate_every=5"]  # fmt: skip


def test_a_run_of_minillm_has_the_planned_work(planned, command, settings, teacher):
    models = [f"student.path={teacher}/best", f"teacher.path={teacher}/best"]
    assert command("train", *settings, *models, *MINILLM, "output=out").status == 0
    lines = [json.loads(line) for line in Path("out/metrics.jsonl").read_text().splitlines()]
    work = Work.of(planned(*MINILLM))
    summary = json.loads(Path("out/summary.json").read_text())
    collections = [line for line in lines if "rollout/length" in line]
    assert (work.steps, work.collections) == (summary["steps"], len(collections)) == (6, 2)
    assert work.validations == len(summary["history"]) == 3
    assert work.sampled == 16 and work.response_limit == 6
    passes = TeacherPasses.of(planned(*MINILLM), work, 1)
    assert passes.collection == 6 * 0.5 + 1 and passes.step == passes.before == 0


@pytest.mark.parametrize(
    ("options", "processes", "passes"),
    [
        (["method=sft"], 1, (0, 0, 0)),
        (["method=kd", "training.micro_batch_size=3"], 1, (0, 0, 2)),
        (["method=kd", "training.micro_batch_size=3"], 2, (0, 0, 1)),
        # 25 prompts in 7 batches of up to 8 tokens; each of 2 processes writes up to 4 batches.
        (["method=seqkd", "method.generation_batch_size=4"], 1, (56, 0, 0)),
        (["method=seqkd", "method.generation_batch_size=4"], 2, (32, 0, 0)),
        # With 4 groups, 1 - (1 - 1/2)^4 of the steps call the teacher; 2 rounds of 4 rows.
        (["method=minillm", "method.rollouts_per_collection=8", "method.sampling_batch_size=4",
          "method.alpha=0.5", "method.coin_group=1"], 1, (0, 17, 0)),
    ],
)  # fmt: skip
def test_passes_of_the_teacher(planned, options, processes, passes):
    setup = planned(*options)
    counted = TeacherPasses.of(setup, Work.of(setup), processes)
    assert (counted.before, counted.collection, counted.step) == passes


def test_tokens_and_shares(planned):
    setup = planned("method=imitkd")
    work = Work.of(setup)
    lengths = [len(ids) for example in setup.train for ids in example.response_ids]
    assert work.tokens(work.response_length) == pytest.approx(4 * sum(lengths) / len(lengths))
    share = (setup.config.method.student_share + setup.config.method.student_share_end) / 2
    assert work.sampled == round(3 * 4 * share) > 0
    assert work.response_limit == 8 and Work.of(planned("method=kd")).response_limit < 8


def test_the_speed_of_a_run(teacher, tmp_path):
    lines = [
        {"step": 0, "validation/loss": 1.0},
        {"step": 2, "speed/tokens_per_second": 10.0, "seconds/collect": 3.0,
         "seconds/optimize": 1.0, "seconds/validate": 6.0, "rollout/length": 4.0},
        {"step": 3, "speed/tokens_per_second": 30.0, "seconds/collect": 3.0,
         "seconds/optimize": 9.0},
        {"step": 3, "validation/loss": 1.0},  # its seconds are not in a later line
    ]  # fmt: skip
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    speed = throughput(str(tmp_path))
    assert speed.tokens_per_second == pytest.approx((4 * 10 + 12 * 30) / 16)
    assert (speed.response_length, speed.validation_seconds) == (4.0, 6.0)
    assert throughput("1e3").tokens_per_second == 1000
    with pytest.raises(InputError, match="above 0"):
        throughput("-1")
    with pytest.raises(InputError, match=r"metrics\.jsonl"):
        throughput(str(teacher / "best"))
