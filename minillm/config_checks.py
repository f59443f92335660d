"""Validates settings: the rules of each field (`settings.py`), and rules about several settings."""

from pathlib import Path

from minillm.config import (
    Config,
    DataConfig,
    MethodConfig,
    ModelConfig,
    TeacherConfig,
    TrainingConfig,
)
from minillm.errors import InputError
from minillm.settings import check_multiples, check_rules, require


def _validate_models(config: Config) -> None:
    student, teacher = config.student, config.teacher
    if teacher.architecture is not None:
        raise InputError(
            f"teacher.architecture={teacher.architecture} is not allowed: a teacher is always "
            f"loaded. Set teacher.path=FOLDER_OR_HUB_NAME."
        )
    if student.path is not None and student.architecture is not None:
        raise InputError(
            f"student.path={student.path} and student.architecture={student.architecture} are both "
            f"set: a model is either loaded or built. Set one of them to null."
        )
    divides = student.hidden_size % student.heads == 0
    require(divides, "student.heads", student.heads, f"a divisor of {student.hidden_size}")
    _validate_paths("student", student)
    _validate_paths("teacher", teacher)


def _validate_teacher(teacher: TeacherConfig, method: MethodConfig) -> None:
    if (teacher.kind == "ensemble") != bool(teacher.members):
        raise InputError(
            f"teacher.kind={teacher.kind} and teacher.members={teacher.members} contradict each "
            f"other: teacher.kind=ensemble needs members, such as "
            f"teacher.members=[{{path:A,weight:0.7}},{{path:B,weight:0.3}}], and the other kinds "
            f"have no members."
        )
    if teacher.kind != "local" and teacher.path is not None:
        raise InputError(
            f"teacher.kind={teacher.kind} and teacher.path={teacher.path} are both set, but only "
            f"teacher.kind=local uses teacher.path. Leave one of them out."
        )
    if method.samples_teacher and teacher.kind != "local":
        raise InputError(
            f"method={method.name} samples from the teacher, which must be one frozen model, but "
            f"teacher.kind={teacher.kind} is not one frozen model. Set teacher.kind=local and "
            f"teacher.path=FOLDER_OR_HUB_NAME."
        )
    if teacher.top_k and teacher.kind == "ensemble":
        raise InputError(
            f"teacher.top_k={teacher.top_k} and teacher.kind=ensemble are both set, but a mixture "
            f"needs the whole distribution of every member. Set teacher.top_k=null."
        )


def _validate_paths(section: str, model: ModelConfig) -> None:
    for name, path in (("path", model.path), ("tokenizer", model.tokenizer)):
        if path and _names_a_folder(path) and not Path(path).is_dir():
            raise InputError(
                f"{section}.{name}={path}: there is no such folder. Give another folder, or null."
            )


def _names_a_folder(path: str) -> bool:
    """Whether a path cannot be a Hub name, which is NAME or OWNER/NAME."""
    parts = Path(path).parts
    return len(parts) > 2 or path[:1] in "./~" or (len(parts) == 2 and Path(parts[0]).is_dir())


def _validate_data(data: DataConfig) -> None:
    if data.kind != "embedded" and data.path is None:
        raise InputError(
            f"data.path is not set: data.kind={data.kind} needs the file, folder or Hub name to "
            f"read. Add data.path=PATH."
        )
    require("/" not in data.name, "data.name", data.name, "a name without '/' (it names files)")


def _validate_training(training: TrainingConfig) -> None:
    if (training.steps is None) == (training.epochs is None):
        raise InputError(
            f"training.steps={training.steps} and training.epochs={training.epochs}: set exactly "
            f"one of them, and set the other to null."
        )
    require(len(training.betas) == 2, "training.betas", training.betas, "two numbers")


def _validate_placement(config: Config) -> None:
    runtime = config.runtime
    placed = runtime.shard_teacher or runtime.teacher_offload or runtime.teacher_device
    if placed and config.teacher.kind == "average":
        raise InputError(
            f"with teacher.kind=average, the whole teacher is on the student's device in every "
            f"process, but runtime.shard_teacher={runtime.shard_teacher}, "
            f"runtime.teacher_offload={runtime.teacher_offload} and "
            f"runtime.teacher_device={runtime.teacher_device}. Set them to false, false and null."
        )
    if runtime.shard_teacher and (runtime.teacher_offload or runtime.teacher_device):
        raise InputError(
            "runtime.shard_teacher=true is not allowed here: a sharded teacher can be neither "
            "offloaded to host memory nor placed on another device. Set "
            "runtime.teacher_offload=false and runtime.teacher_device=null, or set "
            "runtime.shard_teacher=false."
        )
    if runtime.teacher_offload and config.method.reads_teacher_each_step:
        raise InputError(
            f"runtime.teacher_offload=true is not allowed here: the teacher makes forward passes "
            f"in every step of method={config.method.name}. Set runtime.teacher_offload=false (or "
            f"method.lm_kd_ratio=0 in MiniLLM)."
        )


def validate(config: Config) -> None:
    """Refuse settings that cannot work, before anything is loaded.

    Raises:
        InputError: the message names the setting, its value and the allowed values.
    """
    check_rules(config)
    _validate_teacher(config.teacher, config.method)
    _validate_models(config)
    _validate_data(config.data)
    _validate_training(config.training)
    _validate_placement(config)
    if config.resume and config.overwrite:
        raise InputError(
            f"resume={config.resume} and overwrite=true are both set: a run is either continued or "
            f"deleted. Leave one of them out."
        )
    if Path(config.output).is_file():
        raise InputError(f"output={config.output} is a file: give the name of a folder.")


def check_processes(config: Config, processes: int) -> None:
    """Refuse settings that cannot work with this number of processes.

    Raises:
        InputError: the message names the setting, its value and the number of processes.
    """
    if config.runtime.teacher_device and processes > 1:
        raise InputError(
            f"runtime.teacher_device={config.runtime.teacher_device} is not allowed here: this "
            f"device would hold the teachers of all {processes} processes. Set "
            f"runtime.shard_teacher=true or runtime.teacher_offload=true instead."
        )
    check_multiples(config, processes)
