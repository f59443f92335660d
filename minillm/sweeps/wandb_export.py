"""A sweep as a file for `wandb sweep`, whose agents then run `minillm train`.

Weights & Biases then chooses the values, so that workers, pruning rules and resumption of this
project do not apply.
"""

from typing import Any

from minillm.errors import InputError
from minillm.sweeps.settings import SECONDS, Sweep, is_maximised
from minillm.sweeps.space import Dimension, word

METHODS = {"grid": "grid", "random": "random", "qmc": "random", "tpe": "bayes", "cmaes": "bayes"}
# Each run has a folder of its own, which the id of the run names.
COMMAND = 'exec minillm train "$@" output=runs/wandb/$WANDB_SWEEP_ID/$WANDB_RUN_ID'


def wandb_sweep(sweep: Sweep, project: str) -> dict[str, Any]:
    """The content of the file.

    Args:
        sweep: the sweep.
        project: `runtime.project` of the trials.

    Raises:
        InputError: the sweep has conditional settings or several objectives, which such a file
            cannot express.
    """
    conditional = [dimension.key for dimension in sweep.space if dimension.condition]
    if conditional:
        raise InputError(
            f"--export-wandb: Weights & Biases has no conditional settings, but "
            f"{' and '.join(conditional)} varies only with other settings. Remove `if` from a copy "
            f"of the sweep."
        )
    if len(sweep.config.objectives) > 1:
        raise InputError(
            f"--export-wandb: Weights & Biases has one objective, but the sweep has "
            f"{', '.join(sweep.config.objectives)}. Add sweep.objectives=[rougeL]."
        )
    is_grid = sweep.config.sampler == "grid"
    parameters = {one.key: _parameter(one, is_grid) for one in sweep.space}
    parameters["runtime.seed"] = {"values": sweep.config.seeds}
    (objective,) = sweep.config.objectives
    content: dict[str, Any] = {
        "name": sweep.name,
        "project": project,
        "method": METHODS[sweep.config.sampler],
        "metric": {
            "name": "seconds/training" if objective == SECONDS else f"validation/{objective}",
            "goal": "maximize" if is_maximised(objective) else "minimize",
        },
        "parameters": parameters,
    }
    limit = sweep.limit()
    if limit is not None:
        content["run_cap"] = limit * len(sweep.config.seeds)
    if sweep.config.pruner != "none":
        content["early_terminate"] = {"type": "hyperband", "min_iter": 1, "eta": 3}
    words = [*sweep.fixed.values(), "runtime.trackers=[wandb]", "${args_no_hyphens}"]
    return content | {"command": ["sh", "-c", COMMAND, "minillm", *words]}


def _parameter(dimension: Dimension, is_grid: bool) -> dict[str, Any]:
    if is_grid or dimension.kind == "choice":
        return {"values": [_value(value) for value in dimension.grid()]}
    low, high = dimension.values
    if dimension.kind == "int" and dimension.step > 1:
        return {"values": dimension.grid()}
    distributions = {"int": "int_uniform", "log": "log_uniform_values", "uniform": "uniform"}
    return {"distribution": distributions[dimension.kind], "min": low, "max": high}


def _value(value: Any) -> Any:
    """A value as the agent must write it into a word: it would write None and True of Python."""
    return word("", value)[1:] if value is None or isinstance(value, bool) else value
