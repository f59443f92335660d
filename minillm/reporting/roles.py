"""The role of a result: whether its model is the teacher of other results."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from minillm.evaluation.result import Result
from minillm.model_paths import run_folder
from minillm.reporting.groups import TEACHER


def with_roles(results: Sequence[Result]) -> list[Result]:
    """The results, where the method of a teacher is `teacher`.

    A result is that of a teacher if another result names its model, or another model of its run, in
    `teacher.path` or `teacher.members`. Two kinds of results keep their method: results with a name
    (`evaluation.name`), and results of a model that has another model as its own teacher.
    """
    teachers = [_teachers(result) for result in results]
    named_by_others = {teacher for names in teachers for teacher in names}
    return [
        replace(result, method=TEACHER)
        if model_of(result) in named_by_others
        and not (names or _setting(result, "evaluation.name"))
        else result
        for result, names in zip(results, teachers, strict=True)
    ]


def _teachers(result: Result) -> set[str]:
    """The runs or models that a result names as teachers, without its own."""
    members = _setting(result, "teacher.members") or []
    paths = [_setting(result, "teacher.path"), *(member.get("path") for member in members)]
    return {identity_of(path) for path in paths if path} - {model_of(result)}


def model_of(result: Result) -> str | None:
    """The run of the model that was scored, or the model without a run."""
    path = _setting(result, "student.path")
    return path and identity_of(path)


def identity_of(path: str) -> str:
    """The resolved folder of the run, or of the model if no run contains it. Hub names are kept."""
    folder = Path(path).resolve()
    return str(run_folder(folder) or folder)


def _setting(result: Result, key: str) -> Any:
    """A stored setting; None if the result does not have it."""
    section, _, name = key.partition(".")
    return ((result.config or {}).get(section) or {}).get(name)
