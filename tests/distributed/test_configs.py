"""Files of configs/accelerate and configs/deepspeed, as far as they load without GPUs."""

import os
from unittest.mock import patch

import pytest
import yaml
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DeepSpeedPlugin

from minillm.compose import CONFIGS, groups

RUNTIMES = sorted(path.stem for path in (CONFIGS / "accelerate").glob("*.yaml"))
STAGES = {"zero1": 1, "zero2": 2, "zero3": 3, "zero3_offload": 3}


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_accelerate_reads_every_file(runtime):
    path = CONFIGS / "accelerate" / f"{runtime}.yaml"
    load_config_from_file(str(path))  # refuses keys that it does not know
    deepspeed = yaml.safe_load(path.read_text()).get("deepspeed_config", {})
    assert bool(deepspeed) == (runtime in STAGES)
    if deepspeed:
        assert deepspeed["deepspeed_config_file"] == f"configs/deepspeed/{runtime}.json"


@pytest.mark.parametrize("precision", ["no", "bf16", "fp16"])
@pytest.mark.parametrize("runtime", STAGES)
def test_deepspeed_takes_the_precision_of_the_run(runtime, precision):
    with patch.dict(os.environ, {"ACCELERATE_USE_DEEPSPEED": "true"}):
        plugin = DeepSpeedPlugin(hf_ds_config=str(CONFIGS / "deepspeed" / f"{runtime}.json"))
        plugin.set_mixed_precision(precision)
    assert plugin.zero_stage == STAGES[runtime]
    assert plugin.deepspeed_config["bf16"]["enabled"] == (precision == "bf16")
    assert plugin.deepspeed_config["fp16"]["enabled"] == (precision == "fp16")


def test_they_are_no_settings_of_minillm():
    assert "accelerate" not in groups()
