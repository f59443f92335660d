"""The role of a result: whether its model is the teacher of other results."""

from collections.abc import Sequence
from dataclasses import replace

from minillm.evaluation.result import Result
from minillm.reporting.groups import TEACHER
from minillm.reporting.run_settings import identity_of, setting_of


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
        and not (names or setting_of(result.config, "evaluation.name"))
        else result
        for result, names in zip(results, teachers, strict=True)
    ]


def _teachers(result: Result) -> set[str]:
    """The runs or models that a result names as teachers, without its own."""
    members = setting_of(result.config, "teacher.members") or []
    paths = [setting_of(result.config, "teacher.path"), *(member.get("path") for member in members)]
    return {identity_of(path) for path in paths if path} - {model_of(result)}


def model_of(result: Result) -> str | None:
    """The run of the model that was scored, or the model without a run."""
    path = setting_of(result.config, "student.path")
    return path and identity_of(path)
