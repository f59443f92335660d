"""The file of a sweep for Weights & Biases: the agent's command is one of `minillm train`."""

import os
import subprocess
from pathlib import Path

import yaml
from wandb.sdk.launch.sweeps.utils import create_sweep_command_args

from minillm.cli import parse
from minillm.compose import load_config


def run_as_agent(content: dict, values: dict, folder: Path) -> list[str]:
    """The arguments of `minillm`, as wandb's agent and the shell pass them on."""
    given = create_sweep_command_args({"args": {k: {"value": v} for k, v in values.items()}})
    command = [part for word in content["command"]
               for part in (given[word[2:-1]] if word.startswith("${") else [word])]  # fmt: skip
    program = folder / "minillm"
    program.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
    program.chmod(0o755)
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "WANDB_RUN_ID": "r",
                                "WANDB_SWEEP_ID": "s"}  # fmt: skip
    return subprocess.check_output(command, env=environment, text=True).splitlines()


def test_an_agent_runs_minillm_train(command, tmp_path):
    given = ["sweep=embedded/lr", "student.path=a b", "teacher.path=c", "sweep.seeds=[1,2]",
             "method.clip_range=0.1,null", "method.single_step=true,false"]  # fmt: skip
    assert command("sweep", *given, "--export-wandb", "lr.yaml").status == 0
    content = yaml.safe_load(Path("lr.yaml").read_text())
    assert content["metric"] == {"name": "validation/rougeL", "goal": "maximize"}
    assert (content["method"], content["run_cap"]) == ("bayes", 32)
    parameters = content["parameters"]
    assert parameters["training.lr"] == {"distribution": "log_uniform_values", "min": 5e-4,
                                         "max": 2e-2}  # fmt: skip
    values = {key: one["values"][-1] for key, one in parameters.items() if "values" in one}
    words = run_as_agent(content, values | {"training.lr": 1e-3}, tmp_path)
    arguments = parse(words)
    config = load_config(arguments.overrides)
    assert arguments.verb == "train" and config.output == "runs/wandb/s/r"
    assert (config.training.lr, config.method.clip_range, config.method.single_step,
            config.runtime.seed) == (1e-3, None, False, 2)  # fmt: skip
    assert config.student.path == "a b" and config.runtime.trackers == ["wandb"]
    outcome = command("sweep", *given, "--export-wandb", "lr.yaml")
    assert outcome.status == 2 and "is not overwritten" in outcome.err
    outcome = command("sweep", *given, "sweep.objectives=[rougeL,seconds]", "sweep.pruner=none",
                      "--export-wandb", "other.yaml")  # fmt: skip
    assert outcome.status == 2 and "has one objective" in outcome.err
