"""The planned memory is near that of a run, and each backend holds its parts."""

import pytest

from benchmarks.planned_memory import compare, counted, planned
from minillm.compose import load_config
from minillm.planning.backends import BACKENDS, ONE_PROCESS
from minillm.planning.memory import total

SMALL = ["student.path=null", "student.architecture=llama", "student.hidden_size=64",
         "student.layers=3", "student.heads=4", "training.batch_size=8"]  # fmt: skip
MINILLM = ["method=minillm", "method.rollouts_per_collection=32", "method.inner_epochs=1"]


@pytest.fixture
def config(settings, teacher):
    def load(*overrides: str):
        teacher_path = f"teacher.path={teacher}/best"
        return load_config([*settings, *SMALL, teacher_path, *overrides])

    return load


@pytest.mark.parametrize("options", [["method=kd"], MINILLM], ids=["kd", "minillm"])
def test_a_run_needs_what_is_planned(config, options):
    """The plan is for the longest sequences; those of the data are shorter."""
    plan, tensors = compare(config(*options), counted)
    for phase, size in tensors.items():
        if plan[phase]:
            assert 0.9 * size <= plan[phase] <= 1.6 * size, phase


def test_the_teacher_is_where_the_settings_put_it(config):
    """With two processes, a shared teacher has half of its weights, and a complete output head."""

    def teacher(*options: str, processes: int = 2) -> tuple[float, float, float]:
        memory = planned(config("method=minillm", "method.rollouts_per_collection=8", *options),
                         BACKENDS[0], processes)  # fmt: skip
        return (memory.held["teacher's weights"], memory.collection["complete teacher"],
                memory.host["teacher"])  # fmt: skip

    complete, _, _ = teacher()
    head = 300 * 16 * 4
    assert complete == 8752 * 4 and teacher("teacher.dtype=bfloat16")[0] == complete / 2
    shared = complete - head
    assert teacher("runtime.shard_teacher=true") == (head + shared / 2, shared, 0)
    assert teacher("runtime.shard_teacher=true", processes=1) == (complete, 0, 0)
    assert teacher("runtime.teacher_offload=true") == (head, complete, complete)
    assert teacher("runtime.teacher_device=cuda:1", processes=1) == (head, 0, 0)


def test_what_each_backend_adds_to_its_parts(config):
    memory = {x.name: planned(config("method=kd"), x, 2) for x in BACKENDS}
    weights = memory["ddp"].held["student's weights"]
    for name, each in memory.items():
        gathers = name in ("fsdp2", "zero3", "zero3_offload")
        assert each.validation["complete student"] == weights * gathers, name
        assert bool(each.held["gradients"]) == (name in ("ddp", "zero3"))
        assert bool(each.host["student"]) == (name == "zero3_offload")
        added = max(map(total, (each.step, each.update, each.validation)))
        assert each.peak == total(each.held) + added
        assert each.loading == {"student": weights, "teacher": 8752 * 4}
    one = planned(config("method=kd"), ONE_PROCESS, 1)
    assert one.held["gradients"] == 0 and not total(one.collection)


def test_an_adapter_needs_gradients_and_moments_of_its_own_weights_only(config, teacher):
    """The base as teacher adds no weights, and frozen weights keep their dtype."""
    lora = ["method=kd", "student.lora.rank=2", "student.dtype=bfloat16", "student.layers=2",
            "student.architecture=null", f"student.path={teacher}/best"]  # fmt: skip
    memory = planned(config(*lora, "teacher.path=null", "teacher.kind=base"), ONE_PROCESS, 1)
    adapter = 2 * ((16 + 48) + (16 + 16) + (16 + 64) + (64 + 16))
    assert memory.held["student's weights"] == 8752 * 2 + adapter * 4
    assert (memory.step["gradients"], memory.held["optimizer"]) == (adapter * 4, adapter * 8)
    assert memory.held["teacher's weights"] == 0
    assert planned(config(*lora), ONE_PROCESS, 1).held["teacher's weights"] == 8752 * 4
    whole = planned(config("method=kd", *lora[3:]), ONE_PROCESS, 1)
    assert memory.step["activations and logits"] < whole.step["activations and logits"]


def test_a_run_with_an_adapter_needs_what_is_planned(config, teacher):
    options = ["method=kd", "student.lora.rank=2", "student.architecture=null",
               f"student.path={teacher}/best"]  # fmt: skip
    plan, tensors = compare(config(*options), counted)
    for phase, size in tensors.items():
        if plan[phase]:
            assert 0.9 * size <= plan[phase] <= 1.6 * size, phase
