"""Reads what a sweep varies and how: a file of configs/sweep, and the words of the command line.

    minillm sweep sweep=lr sweep.trials=12 experiment=embedded/minillm output=runs/lr KEY=VALUE ...
    minillm sweep experiment=embedded/minillm training.lr=1e-3,2e-3 output=runs/grid

`sweep.KEY=value` is a setting of the sweep. `key=a,b` varies a setting among these values, and
without `sweep=NAME` all combinations of them are tried, as Hydra's `--multirun` does. All other
words are settings of every trial.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from minillm.config import SEED
from minillm.errors import InputError, first_line, unknown_name
from minillm.evaluation.selection import validation_metrics
from minillm.folders import expand_home
from minillm.settings.groups import SETTINGS_SUFFIXES, groups
from minillm.settings.named_file import read_named_file
from minillm.settings.overrides import parse_override
from minillm.settings.rules import check_rules, setting
from minillm.settings.types import setting_type
from minillm.sweeps.process import check_launcher
from minillm.sweeps.space import Dimension, grid_points, read_space, word
from minillm.sweeps.watch import WatchConfig

SECONDS = "seconds"  # the objective of training seconds, beside the scores of a validation
DEFAULT_TRIALS = 20
SAMPLERS = ("tpe", "grid", "random", "cmaes", "qmc")
PRUNERS = ("none", "median", "hyperband")
# Settings of a single run that a sweep sets itself.
OWN = ("resume", "overwrite", "runtime.seed", "dry_run")


@dataclass
class SweepConfig:
    """The settings of a sweep. On the command line, they are written `sweep.KEY=value`."""

    experiment: str | None = None  # the experiment that is varied
    settings: dict[str, Any] = setting({})  # further settings of every trial, by dotted keys
    space: dict[str, Any] = setting({})  # see sweeps/space.py
    # Scores of the best checkpoint of a trial: scores of a validation, or `seconds` of training.
    objectives: list[str] = setting(["rougeL"], not_empty=True)
    sampler: str = setting("tpe", choices=SAMPLERS)
    # Trials before the sampler learns from trials, and before the pruner compares.
    startup_trials: int = setting(5, at_least=1)
    pruner: str = setting("median", choices=PRUNERS)
    # When a training stops because its student degenerates, whatever the pruner is.
    watch: WatchConfig = setting(WatchConfig())
    seed: int = setting(1, **SEED)  # of the sampler
    # runtime.seed of the runs of a trial. The objective is the mean over them.
    seeds: list[int] = setting([1], **SEED, not_empty=True)
    # No trial begins after so many. null: all points of a grid; for other samplers, DEFAULT_TRIALS,
    # or no limit if `hours` is set.
    trials: int | None = setting(None, at_least=1)
    # No trial begins after so many hours of all trials together; null: no limit. The time of a
    # training counts when the training has ended or was stopped.
    hours: float | None = setting(None, above=0)
    # Failed trials in a row after which a worker ends with an error; null: it goes on.
    failures: int | None = setting(3, at_least=1)
    # Where the study is: `sqlite` or `journal` for a file in the folder of the sweep, or the URL of
    # a database, such as postgresql://HOST/DATABASE.
    storage: str = "sqlite"
    # Seconds between two signs of life of a worker. After four of them without a sign, another
    # worker continues the trial.
    heartbeat: float = setting(30.0, above=0)
    # The command that starts a training, such as `bash scripts/launch.sh`; null: this Python.
    launcher: str | None = None


@dataclass(frozen=True)
class Sweep:
    """A sweep as the command line gives it.

    Attributes:
        name: the name of the study, which is that of the folder.
        folder: the folder of the sweep.
        config: the settings of the sweep.
        space: the settings that vary.
        fixed: the settings of every trial, by key.
    """

    name: str
    folder: Path
    config: SweepConfig
    space: list[Dimension]
    fixed: dict[str, str] = field(default_factory=dict)

    def words(self, values: dict[str, Any]) -> list[str]:
        """The words of `minillm train` for a trial with these values."""
        varied = {key: word(key, value) for key, value in values.items()}
        return list((self.fixed | varied).values())

    def points(self) -> list[dict[str, Any]] | None:
        """The points of a grid, in the order of the trials; None for other samplers."""
        return grid_points(self.space) if self.config.sampler == "grid" else None

    def limit(self) -> int | None:
        """The number of trials; None without a limit."""
        points, trials = self.points(), self.config.trials
        if points is not None:
            return min(len(points), trials or len(points))
        return trials or (None if self.config.hours else DEFAULT_TRIALS)

    def identity(self) -> dict[str, Any]:
        """Everything that must not change when a sweep continues, by name.

        The keys of the space are in its order. Only a grid numbers its points, so other samplers
        may replace each other.
        """
        return {
            "sweep.sampler": "grid" if self.config.sampler == "grid" else "not grid",
            "objectives": self.config.objectives,
            "seeds": self.config.seeds,
            **{f"space.{key}": value for key, value in self.config.space.items()},
            **{key: text.partition("=")[2] for key, text in self.fixed.items()},
        }


def read_sweep(words: Sequence[str]) -> Sweep:
    """The sweep of a command line.

    Raises:
        InputError: a word or a setting of the sweep is not allowed. Settings of the trials are not
            checked yet, see `check_trials`.
    """
    name, own, others = None, [], []
    for text in words:
        key, _, value = text.partition("=")
        if key == "sweep":
            name = value
        else:
            (own if key.startswith("sweep.") else others).append(text)
    content = read_named_file("sweep", name) if name else {"sampler": "grid", "pruner": "none"}
    config = _typed(content, own)
    fixed, output = _fixed(config), None
    for text in others:
        key, _, value = text.partition("=")
        values = choices(text)
        if key == "output":
            output = expand_home(value)
        elif key in OWN:
            raise InputError(f"{text} is not allowed: a sweep always continues, its trials have "
                             f"the seeds sweep.seeds=[1,2] and are always trained, and another "
                             f"output=FOLDER begins another sweep.")  # fmt: skip
        elif values is not None:
            config.space[key] = {"choice": values}
            fixed.pop(key, None)
        elif key in config.space:
            raise InputError(f"{text} is not allowed: the sweep varies {key}. Leave it out, or "
                             f"remove it from the space of the sweep.")  # fmt: skip
        else:
            fixed[key] = text
    space = read_space(config.space)
    _check_together(config)
    folder = Path(output or f"runs/sweeps/{_plain(name or 'grid')}")
    sweep = Sweep(folder.name, folder, config, space, fixed)
    sweep.points()  # refuses a range without points
    return sweep


def choices(text: str) -> list[Any] | None:
    """The values of a word `key=a,b`, as in Hydra's multirun; None for a single value.

    A comma in the value of a text, such as a path, belongs to the text.
    """
    key, _, value = text.partition("=")
    if "," not in value or (key not in groups() and setting_type(key) in (str, None)):
        return None
    try:
        override = OverridesParser.create().parse_override(f"key={value}")
    except HydraException as error:
        raise InputError(f"{text!r} cannot be read: {first_line(error)}.") from error
    if not override.is_choice_sweep():
        return None
    return [_plain_value(one) for one in override.value().list]


def _plain_value(value: Any) -> Any:
    """A value of Hydra's grammar as a choice: a list becomes a text."""
    if isinstance(value, list | dict):
        return word("", value).removeprefix("=")
    return getattr(value, "text", value)  # a quoted text


def _typed(content: dict[str, Any], words: Sequence[str]) -> SweepConfig:
    """The settings of a file and of `sweep.KEY=value`, with their types and rules checked."""
    known = SweepConfig.__dataclass_fields__
    entries = [(key, value, f"{key}: {value}") for key, value in content.items()]
    for text in words:
        override = parse_override(text, {})
        if override.key.startswith(("sweep.space", "sweep.settings")):
            raise InputError(f"{text} is not allowed: write KEY=VALUE for a setting of all trials, "
                             f"KEY=a,b for a setting that varies, or a file of your own for "
                             f"sweep=./FILE.yaml.")  # fmt: skip
        entries.append((override.key.removeprefix("sweep."), override.value, text))
    config = OmegaConf.structured(SweepConfig)
    for key, value, text in entries:
        if key.partition(".")[0] not in known:
            raise unknown_name("setting of a sweep", key, known)
        try:
            # Keys of settings have dots, so they are not taken as paths.
            if key in ("settings", "space"):
                config[key] = value or {}
            else:
                OmegaConf.update(config, key, value)
        except OmegaConfBaseException as error:
            raise InputError(f"{text}: {first_line(error)}. docs/sweeps.md explains the settings "
                             f"of a sweep.") from error  # fmt: skip
    typed = OmegaConf.to_object(config)
    check_rules(typed)
    return typed


def _fixed(config: SweepConfig) -> dict[str, str]:
    """The settings of every trial that the file of the sweep names, as words by key."""
    start = {"experiment": word("experiment", config.experiment)} if config.experiment else {}
    for key in config.settings:
        if key in OWN or key == "output":
            raise InputError(f"settings.{key} is not allowed: the sweep sets it for each trial.")
    return start | {key: word(key, value) for key, value in config.settings.items()}


def _check_together(config: SweepConfig) -> None:
    """Refuse objectives that do not exist, and settings that contradict each other."""
    scores = {name for name, metric in validation_metrics().items()
              if metric.higher_is_better is not None}  # fmt: skip
    for name in config.objectives:
        if name not in scores | {SECONDS}:
            raise unknown_name("sweep.objectives", name, scores | {SECONDS})
    if len(set(config.objectives)) < len(config.objectives):
        raise InputError(f"sweep.objectives={config.objectives} names an objective twice.")
    if len(set(config.seeds)) < len(config.seeds):
        raise InputError(f"sweep.seeds={config.seeds} names a seed twice. Each run of a trial "
                         f"needs another seed.")  # fmt: skip
    if config.launcher:
        check_launcher(config.launcher)
    prunes = config.pruner != "none"
    if prunes and (len(config.objectives) > 1 or config.objectives == [SECONDS]):
        raise InputError(
            f"sweep.pruner={config.pruner} is not allowed with sweep.objectives="
            f"{config.objectives}: it compares trials by one score of a validation. Set "
            f"sweep.pruner=none, or one score as the objective."
        )
    if config.sampler == "cmaes" and len(config.objectives) > 1:
        raise InputError("sweep.sampler=cmaes is not allowed with several objectives. Set "
                         "sweep.sampler=tpe.")  # fmt: skip


def is_maximised(objective: str) -> bool:
    """Whether more of an objective is better."""
    return objective != SECONDS and bool(validation_metrics()[objective].higher_is_better)


def _plain(name: str) -> str:
    """The name of a folder for a sweep of this name or file."""
    return Path(name).stem if name.endswith(SETTINGS_SUFFIXES) else name.replace("/", "_")
