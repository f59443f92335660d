"""`minillm sweep`: searches for settings by many trainings, on any number of workers."""

import logging
from collections.abc import Sequence
from pathlib import Path

import yaml

from minillm.compose import load_config
from minillm.config import Config
from minillm.errors import InputError, first_line

try:
    import optuna  # noqa: F401
except ImportError as error:
    raise InputError(
        f"minillm sweep needs the package optuna, which cannot be imported: {first_line(error)}. "
        f"Install it: pip install 'minillm[sweep]' (in a checkout: pip install -e '.[sweep]')."
    ) from error

from minillm.evaluation.selection import FRONTIER, GREEDY
from minillm.files import check_writable, write_text
from minillm.sweeps.settings import Sweep, read_sweep
from minillm.sweeps.space import extreme_points
from minillm.sweeps.status import progress_line
from minillm.sweeps.study import RECORD, open_study, storage_url
from minillm.sweeps.wandb_export import wandb_sweep
from minillm.sweeps.worker import work

log = logging.getLogger(__name__)


def sweep(words: Sequence[str]) -> None:
    """Begin a sweep, or join or continue the sweep in its folder.

    Raises:
        InputError: a setting is wrong, or differs from those with which the sweep was begun.
        Stopped: a signal has stopped this worker.
        TrainingError: as many trials in a row have failed as `sweep.failures` says.
    """
    task = read_sweep(words)
    url = storage_url(task.config.storage, task.folder)
    check_folder(task)
    first = check_trials(task)
    if not (task.folder / RECORD).exists():
        check_first_trial(first)
    study = open_study(task)
    log.info("The sweep %s writes everything to %s. The same command on other devices or machines "
             "adds workers, and continues the sweep after Ctrl-C.\nTo watch it: optuna-dashboard "
             "%s", task.name, task.folder, url)  # fmt: skip
    work(task, study, first.training)
    log.info("%s\nTables and figures: minillm report sweep %s --output FOLDER",
             progress_line(task, study), task.folder)  # fmt: skip


def check_trials(task: Sweep) -> Config:
    """Refuse settings of trials that no training could have; returns those of the first trial.

    Every value of a choice and every bound of a range is checked.

    Raises:
        InputError: the message names the setting.
    """
    first = None
    for key, point in extreme_points(task.space):
        try:
            config = load_config(task.words(point))
        except InputError as error:
            trial = f"(in a trial of the sweep with {key}={point[key]})"
            raise InputError(f"{error} {trial}") from error
        first = first or config
    for name in {GREEDY.name, FRONTIER.name} & set(task.config.objectives):
        if first.training.select_by != name:
            raise InputError(
                f"sweep.objectives={task.config.objectives} needs training.select_by={name}: "
                f"otherwise validations do not compute this score. Add training.select_by={name}."
            )
    return first


def check_first_trial(config: Config) -> None:
    """Refuse what a training would refuse before it reads data and models.

    Raises:
        InputError: the message names the setting.
    """
    from minillm.commands.train import checks_of_settings  # needs the libraries of models

    for check in checks_of_settings(config):
        check()


def check_folder(task: Sweep) -> None:
    """Refuse a folder that cannot be written, or that holds other files than those of a sweep.

    Raises:
        InputError: the message names the folder.
    """
    check_writable(task.folder, f"output={task.folder}", "Give another output=FOLDER.")
    if task.folder.is_dir() and any(task.folder.iterdir()):
        known = {RECORD, "lock"}
        if not known & {path.name for path in task.folder.iterdir()}:
            raise InputError(
                f"output={task.folder} holds files that do not belong to a sweep, so nothing is "
                f"written there. Give another output=FOLDER."
            )


def report_sweep(folder: Path, output: Path, *, title: str | None, page: bool) -> str:
    """Write the report of a sweep, and return its tables; see `write_sweep_report`."""
    from minillm.sweeps.report import write_sweep_report  # needs matplotlib

    return write_sweep_report(folder, output, title=title, page=page)


def export_to_wandb(words: Sequence[str], file: Path) -> None:
    """Write a sweep as a file for Weights & Biases.

    Raises:
        InputError: a setting is wrong, the file exists, or it cannot express the sweep.
    """
    task = read_sweep(words)
    if file.exists():
        raise InputError(f"--export-wandb {file}: the file exists and is not overwritten. Give "
                         f"another name.")  # fmt: skip
    check_writable(file.parent, f"--export-wandb {file}", "Give another name.")
    content = wandb_sweep(task, check_trials(task).runtime.project)
    head = f"# Written by `minillm sweep`. Begin it with: wandb sweep {file}\n"
    write_text(file, head + yaml.safe_dump(content, sort_keys=False))
    log.info("%s is written. `wandb sweep %s` begins the sweep and prints the command of an agent, "
             "which runs `minillm train` for each trial.", file, file)  # fmt: skip
