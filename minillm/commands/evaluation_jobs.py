"""What one command `minillm evaluate` has to do: which models it scores, and into which files.

All models are checked before the first model is scored, so that no error of a later model stops
the command halfway. A model with a result is skipped.
"""

import json
import logging
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from minillm.commands.extension import extended, is_addition
from minillm.commands.loading import read_records
from minillm.commands.model_folder import model_name, resolve, result_file, trained_run
from minillm.commands.saved_settings import run_of
from minillm.config import Config, EvaluationConfig
from minillm.data.tokenizers import tokenizer_of
from minillm.errors import InputError
from minillm.evaluation.result import FORMAT
from minillm.files import check_writable, read_json
from minillm.models.loadable import WEIGHTS, check_loadable

log = logging.getLogger(__name__)

# Settings that decide what a result contains. The batch size changes only speed and memory.
SECTIONS = ("student", "teacher", "data", "evaluation")
PRECISION = ("mixed_precision", "tf32")  # of the section `runtime`
WITHOUT_EFFECT = {"evaluation.batch_size"}
# Settings with a path. Only the end of a path is compared, because the same folder has another
# path in another working folder.
PATHS = (".path", ".tokenizer")


@dataclass(frozen=True)
class Job:
    """One model to score.

    Attributes:
        folder: the model as the command line names it.
        config: the settings.
        path: the folder or the Hub name of the model.
        file: the result file.
        given: names of the settings of the command line.
    """

    folder: str
    config: Config
    path: Path
    file: Path
    given: frozenset[str] = frozenset()

    @property
    def responses(self) -> Path:
        """The file of all responses."""
        return self.file.with_suffix(".responses.jsonl")


def plan_jobs(folders: Sequence[str], overrides: list[str]) -> list[Job]:
    """The jobs of different models, with different result files.

    Raises:
        InputError: a folder is no model, or a setting is wrong.
    """
    jobs: dict[Path | str, Job] = {}
    given = frozenset(text.partition("=")[0] for text in overrides)
    for folder in folders:
        config, path, output = resolve(folder, overrides)
        _check_exposure(config)
        job = Job(folder, config, path, result_file(config, path, output), given)
        first = jobs.setdefault(path.resolve() if path.is_dir() else folder, job)
        if first is not job:
            log.info("%s is scored once: %s is the same model.", folder, first.folder)
    return _with_distinct_files(list(jobs.values()))


def _check_exposure(config: Config) -> None:
    """Refuse an exposure bias without one teacher model that can sample."""
    samples, teacher = config.evaluation.exposure_samples, config.teacher
    samples_responses = teacher.kind == "base" or (teacher.kind == "local" and teacher.path)
    if samples and not samples_responses:
        raise InputError(
            f"evaluation.exposure_samples={samples} needs responses of one teacher model, but "
            f"teacher.kind={teacher.kind} and teacher.path={teacher.path or 'null'}. Add "
            f"teacher.kind=local teacher.path=FOLDER_OR_HUB_NAME, or leave the setting out."
        )


def open_jobs(jobs: Sequence[Job]) -> list[Job]:
    """Check all models, and return the jobs of those that have no result.

    Raises:
        InputError: a model cannot be loaded, its data cannot be read, its result cannot be written,
            or a file with another result exists. Then nothing is scored.
    """
    jobs = [job for job in map(_with_parts_of_result, jobs) if not _has_result(job)]
    for job in jobs:
        check_writable(job.file.parent, f"the folder {job.file.parent} for the result of "
                       f"{job.folder}", "Give another output=FOLDER.")  # fmt: skip
        _check_models(job)
    if len(jobs) > 1:  # otherwise the only job soon reads the data itself
        data = {json.dumps(asdict(job.config.data)): job.config for job in jobs}
        for config in data.values():
            read_records(config, ["test"])
    return jobs


def _with_parts_of_result(job: Job) -> Job:
    """The job with all seeds, temperatures and metrics of its result, if there is a result."""
    if not job.file.exists() or job.config.overwrite:
        return job
    try:
        evaluation = extended(job.config.evaluation, read_json(job.file)["config"], job.given)
    except (InputError, ValueError, TypeError, KeyError, AttributeError):
        return job  # `_has_result` says what is wrong with the file
    return replace(job, config=replace(job.config, evaluation=evaluation))


def _check_models(job: Job) -> None:
    """Refuse a model or teacher that cannot be loaded, without reading its weights."""
    student, teacher = job.config.student, job.config.teacher
    tokenizer_of(student)
    for model in (student, teacher, *teacher.members):
        if model.path is not None:
            check_loadable(model.path, model.revision)


def _with_distinct_files(jobs: list[Job]) -> list[Job]:
    """The jobs. If several results would have the same file, the names of the runs are added."""
    groups = defaultdict(list)
    for job in jobs:
        groups[job.file.resolve()].append(job)
    names = {}
    for group in groups.values():
        if len(group) > 1:
            names |= dict(zip((job.folder for job in group), _names(group), strict=True))
    return [
        replace(job, file=job.file.with_name(f"{job.config.data.name}.{names[job.folder]}.json"))
        if job.folder in names
        else job
        for job in jobs
    ]


def _names(jobs: Sequence[Job]) -> list[str]:
    """A short name for each model: its run, with parent folders if runs have the same name."""
    folders = [(run_of(job.path) or job.path).absolute() for job in jobs]
    common = os.path.commonpath([folder.parent for folder in folders])
    names = []
    for job, folder in zip(jobs, folders, strict=True):
        parts = folder.relative_to(common).parts
        names.append("-".join(filter(None, (*parts, model_name(job.path)))))
    return names


def _has_result(job: Job) -> bool:
    """Whether the result of this model with these settings exists and is not to be replaced.

    Raises:
        InputError: the file exists and is another result.
    """
    if not job.file.exists() or job.config.overwrite:
        return False
    difference, missing = _compared(job)
    if difference:
        raise InputError(
            f"{job.file} exists and is not overwritten: {difference}. Add overwrite=true to "
            f"replace the file, output=FOLDER to write to another folder, or data.name=NAME to "
            f"rename the data set."
        )
    if missing:
        log.info("%s: %s is extended (%s)", job.folder, job.file, missing)
        if "judge" in read_json(job.file)["metrics"]:
            log.warning("%s loses the scores of its judge. Run minillm judge with the same "
                        "settings again, which asks no question twice.", job.file)  # fmt: skip
        return False
    log.info("%s is skipped: %s exists. Add overwrite=true to score it again.", job.folder,
             job.file)  # fmt: skip
    return True


def _compared(job: Job) -> tuple[str | None, str | None]:
    """Why the result in the file is not a result of the job, and what it lacks, in words."""
    try:
        saved = read_json(job.file)
        old, new = _settings(saved["config"], job), _settings(asdict(job.config), job)
        old = {f"evaluation.{name}": x for name, x in asdict(EvaluationConfig()).items()} | old
    except (ValueError, TypeError, KeyError, AttributeError):
        return "the file is not a result that can be read", None
    changed = {
        key: f"{key} was {old[key]}, now {new[key]}"
        for key in new
        if key in old and old[key] != new[key] and key not in WITHOUT_EFFECT
    }
    others = [text for key, text in changed.items() if not is_addition(key, old)]
    if others:
        return f"it was made with other settings ({'; '.join(others)})", None
    run = trained_run(job.path)
    if saved["run"] != (json.loads(json.dumps(asdict(run))) if run else None):
        return "the run was trained again or continued after that evaluation", None
    if run is None and _was_changed(job):
        return f"the weights in {job.folder} were written after that evaluation", None
    if changed and saved["format"] != FORMAT:
        return f"a result of format {saved['format']} cannot be extended", None
    return None, "; ".join(changed.values())


def _was_changed(job: Job) -> bool:
    """Whether a model outside a run has weights that are newer than its result."""
    if not job.path.is_dir():
        return False
    files = [file for pattern in WEIGHTS for file in job.path.glob(pattern)]
    return any(file.stat().st_mtime > job.file.stat().st_mtime for file in files)


def _settings(config: dict[str, Any], job: Job) -> dict[str, Any]:
    """The settings that decide what a result contains, by dotted keys."""
    sections = {name: config[name] for name in SECTIONS}
    sections["runtime"] = {key: x for key, x in config["runtime"].items() if key in PRECISION}
    sections = json.loads(json.dumps(sections))
    settings = {f"{name}.{key}": x for name in sections for key, x in sections[name].items()}
    for key, value in settings.items():
        if value and key.endswith(PATHS):
            is_beside_result = key == "student.path" and run_of(job.path) == job.file.parents[1]
            settings[key] = "/".join(Path(value).parts[-1 if is_beside_result else -2 :])
    return settings
