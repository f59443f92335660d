"""The files in configs/accelerate and configs/deepspeed load without GPUs."""

import os
from unittest.mock import patch

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DeepSpeedPlugin

from minillm.compose import CONFIGS, groups, load_config
from minillm.config_checks import check_processes
from minillm.errors import InputError

BACKENDS = sorted(path.stem for path in (CONFIGS / "accelerate").glob("*.yaml"))
STAGES = {"zero1": 1, "zero2": 2, "zero3": 3, "zero3_offload": 3}


@pytest.mark.parametrize("backend", BACKENDS)
def test_accelerate_reads_every_file(backend):
    path = CONFIGS / "accelerate" / f"{backend}.yaml"
    load_config_from_file(str(path))  # refuses unknown keys
    deepspeed = yaml.safe_load(path.read_text()).get("deepspeed_config", {})
    assert bool(deepspeed) == (backend in STAGES)
    if deepspeed:
        assert deepspeed["deepspeed_config_file"] == f"configs/deepspeed/{backend}.json"


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
@pytest.mark.parametrize("backend", STAGES)
def test_deepspeed_takes_the_precision_of_the_run(backend, precision):
    with patch.dict(os.environ, {"ACCELERATE_USE_DEEPSPEED": "true"}):
        plugin = DeepSpeedPlugin(hf_ds_config=str(CONFIGS / "deepspeed" / f"{backend}.json"))
        plugin.set_mixed_precision(precision)
    assert plugin.zero_stage == STAGES[backend]
    assert plugin.deepspeed_config["bf16"]["enabled"] == (precision == "bf16")
    assert plugin.deepspeed_config["fp16"]["enabled"] == (precision == "fp16")


def test_they_are_no_settings_of_minillm():
    assert "accelerate" not in groups()


@pytest.mark.parametrize(
    "placed", ["runtime.teacher_offload=true", "runtime.teacher_device=cuda:1"]
)
def test_a_teacher_is_sharded_or_elsewhere(placed):
    with pytest.raises(InputError, match=r"shard_teacher=true and .* not allowed together"):
        load_config(["runtime.shard_teacher=true", placed])


@pytest.mark.parametrize(
    "placed",
    ["runtime.shard_teacher=true", "runtime.teacher_offload=true", "runtime.teacher_device=cuda:1"],
)
def test_an_average_is_whole_beside_the_student(placed):
    with pytest.raises(InputError, match=r"with teacher\.kind=average the whole teacher"):
        load_config(["teacher.kind=average", placed])


def test_one_device_does_not_take_the_teachers_of_all_processes():
    config = load_config(["runtime.teacher_device=cuda:1"])
    check_processes(config, 1)
    with pytest.raises(InputError, match="the teachers of all 2 processes"):
        check_processes(config, 2)
