"""Builds a teacher from the settings."""

import logging
from collections.abc import Callable
from functools import partial

import torch

from minillm.config import Config, ModelConfig, TeacherConfig
from minillm.errors import InputError
from minillm.models.fit import fit, tokenizer_differences
from minillm.models.language_model import LanguageModel
from minillm.models.placement import place
from minillm.teachers.averaged import AveragedTeacher
from minillm.teachers.base import BaseTeacher
from minillm.teachers.ensemble import EnsembleTeacher
from minillm.teachers.local import LocalTeacher
from minillm.teachers.teacher import Teacher

log = logging.getLogger(__name__)


def build_teacher(
    config: Config,
    student: LanguageModel,
    device: torch.device,
    load: Callable[[ModelConfig], LanguageModel],
    shard: Callable[[LanguageModel], LanguageModel] | None = None,
) -> tuple[Teacher | None, bool]:
    """The teacher of the settings, and whether it has the student's tokenizer.

    Args:
        config: the settings of the whole command.
        student: before it is wrapped or sharded; on its device for `teacher.kind=base`.
        device: device of the student in training.
        load: loads a frozen model into host memory; see `models.broadcast.make_on_main`.
        shard: divides a loaded model among the processes, if `runtime.shard_teacher` is set; None
            for a complete model in every process.

    Returns:
        The teacher, or None if the settings name no teacher; and whether the tokenizers agree.

    Raises:
        InputError: a model cannot be loaded, `top_k` is larger than the vocabulary, or the base of
            a student without an adapter is asked for.
    """
    settings = config.teacher
    _check_top_k(settings, student.vocab_size)
    top_k = {"top_k": settings.top_k, "top_k_temperature": teacher_temperature(config)}
    if settings.kind == "average":
        average = {"rate": settings.rate, "update_every": settings.update_every}
        return AveragedTeacher.of(student, device, **top_k, **average), True
    if settings.kind == "base":
        return BaseTeacher.of(student, **top_k), True
    models = [load(model) for model in _models(settings)]
    if not models:
        return None, True
    shared = True
    for model in models:
        differences = tokenizer_differences(student.tokenizer, model.tokenizer)
        if differences:
            shared = False
            log.info(
                "the teacher's tokenizer differs from the student's: %s. The teacher can write "
                "text for the student, but cannot score the student's tokens.",
                "; ".join(differences),
            )
    if shared:
        models = [fit(student, model) for model in models]
    runtime = config.runtime
    put = partial(place, student_device=device, device=runtime.teacher_device,
                  offload=runtime.teacher_offload)  # fmt: skip
    if shard and runtime.shard_teacher:
        put = shard
    members = tuple(LocalTeacher(put(model), **top_k) for model in models)
    if settings.kind == "local":
        return members[0], shared
    total = sum(member.weight for member in settings.members)
    weights = tuple(member.weight / total for member in settings.members)
    return EnsembleTeacher(members, weights, settings.mixture == "geometric"), shared


def _check_top_k(settings: TeacherConfig, vocab_size: int) -> None:
    if settings.top_k and settings.top_k > vocab_size:
        raise InputError(
            f"teacher.top_k={settings.top_k} is more than the {vocab_size} tokens of the "
            f"vocabulary. Give at most {vocab_size}, or null for the whole distribution."
        )


def _models(settings: TeacherConfig) -> list[ModelConfig]:
    if settings.kind == "ensemble":
        return [
            ModelConfig(path=x.path, revision=x.revision, dtype=x.dtype) for x in settings.members
        ]
    return [settings] if settings.path is not None else []


def teacher_temperature(config: Config) -> float:
    """The temperature at which the loss reads the teacher."""
    student = getattr(config.method, "student_temperature", 1.0)
    return getattr(config.method, "teacher_temperature", None) or student
