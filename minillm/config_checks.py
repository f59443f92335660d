"""Validates settings: the rules of each field (`settings/rules.py`), and rules about several."""

import os
from pathlib import Path

from minillm.config import (
    Config,
    DataConfig,
    EvaluationConfig,
    MethodConfig,
    MiniLLMConfig,
    TeacherConfig,
    TokenLossConfig,
    TrainingConfig,
)
from minillm.data.labels import check_label_words
from minillm.errors import InputError
from minillm.folders import missing_folder, names_a_folder
from minillm.settings.rules import check_multiples, check_rules, require


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
            f"set: a model is either loaded or built. Leave one of them out, or set it to null."
        )
    if student.lora.rank is not None and student.architecture is not None:
        raise InputError(
            f"student.lora.rank={student.lora.rank} is not allowed with "
            f"student.architecture={student.architecture}: an adapter changes a pretrained model. "
            f"Set student.path=FOLDER_OR_HUB_NAME, or leave student.lora.rank out."
        )
    if student.revision and student.architecture:
        raise InputError(
            f"student.revision={student.revision} is not allowed with "
            f"student.architecture={student.architecture}: only Hub names have revisions. Set "
            f"student.path=HUB_NAME, or leave the revision out."
        )
    if student.hidden_size % student.heads:
        raise InputError(
            f"student.hidden_size={student.hidden_size} cannot be divided by "
            f"student.heads={student.heads}. Change one of them: student.heads must be a divisor "
            f"of {student.hidden_size}."
        )
    for section, model in (("student", student), ("teacher", teacher)):
        _validate_path(f"{section}.path", model.path)
        _validate_path(f"{section}.tokenizer", model.tokenizer)
        _validate_revision(section, model.path, model.revision)
    for number, member in enumerate(teacher.members):
        _validate_path(f"teacher.members[{number}].path", member.path)
        _validate_revision(f"teacher.members[{number}]", member.path, member.revision)


def _validate_teacher(teacher: TeacherConfig, method: MethodConfig) -> None:
    if (teacher.kind == "ensemble") != bool(teacher.members):
        if teacher.members:
            raise InputError(
                f"teacher.members is set, but teacher.kind is {teacher.kind}. Add "
                f"teacher.kind=ensemble, or leave teacher.members out."
            )
        raise InputError(
            "teacher.kind=ensemble has no members. Add them, such as "
            "teacher.members=[{path:A,weight:0.7},{path:B,weight:0.3}]."
        )
    if teacher.kind != "local" and teacher.path is not None:
        raise InputError(
            f"teacher.kind={teacher.kind} and teacher.path={teacher.path} are both set, but only "
            f"teacher.kind=local uses teacher.path. Leave one of them out."
        )
    if method.response_file and teacher.kind == "base":
        raise InputError(
            f"method={method.name} has responses of the teacher written before the training, which "
            f"needs the folder of the teacher, but teacher.kind=base has none. Set "
            f"teacher.kind=local and teacher.path to the value of student.path."
        )
    if method.samples_teacher and teacher.kind not in ("local", "base"):
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


def _validate_layers(config: Config) -> None:
    method = config.method
    if not isinstance(method, TokenLossConfig) or method.layers is None:
        return
    if not method.layers or not all(len(pair) == 2 and all(pair) for pair in method.layers):
        raise InputError(
            f"method.layers={method.layers} is not allowed: give pairs of layers [student's, "
            f"teacher's], counted from 1 or, with a minus, from the last, such as "
            f"method.layers=[[1,2],[-1,-1]], or give null."
        )
    if config.teacher.kind == "ensemble":
        raise InputError(
            f"method.layers={method.layers} needs one teacher with hidden states, but "
            f"teacher.kind=ensemble mixes only distributions. Set teacher.kind=local, or "
            f"method.layers=null."
        )


def _validate_path(key: str, path: str | None) -> None:
    """Refuse a folder that does not exist, and the folder of a run where a model is needed."""
    if not path:
        return
    folder = Path(path)
    if names_a_folder(path) and not folder.is_dir():
        alternative = "or a Hub name" if "members" in key else "a Hub name, or null"
        raise missing_folder(path, f"the folder of a model, {alternative}", setting=key)
    if (folder / "best").is_dir() and not (folder / "config.json").is_file():
        raise InputError(
            f"{key}={path} is the folder of a run, not of a model. Give the model in the run: "
            f"{key}={folder / 'best'}."
        )


def _validate_revision(section: str, path: str | None, revision: str | None) -> None:
    """Refuse the revision of a folder."""
    if revision and path and Path(path).is_dir():
        raise InputError(
            f"{section}.revision={revision} is not allowed with {section}.path={path}, which is a "
            f"folder: only Hub names have revisions. Leave the revision out."
        )


def _validate_data(data: DataConfig) -> None:
    if data.kind not in (None, "embedded") and data.path is None:
        raise InputError(
            f"data.path is not set: data.kind={data.kind} needs the file, folder or Hub name to "
            f"read. Add data.path=PATH."
        )
    longest_prompt = max(data.max_prompt_length, data.teacher_prompt_limit)
    if data.max_length is not None and data.max_length <= longest_prompt:
        raise InputError(
            f"data.max_length={data.max_length} leaves no token for a response after a prompt of "
            f"{longest_prompt} tokens (data.max_prompt_length, data.max_teacher_prompt_length). "
            f"Raise data.max_length, lower the limit of prompts, or set data.max_length=null."
        )
    check_label_words(data)
    longest_reference = data.max_reference_length
    if longest_reference is not None and data.min_reference_length > longest_reference:
        raise InputError(
            f"data.min_reference_length={data.min_reference_length} is above "
            f"data.max_reference_length={longest_reference}, so that no test input is left. Lower "
            f"the minimum, or raise the maximum."
        )
    if "prompt" in data.columns and data.template != "ready":
        raise InputError(
            f"data.columns.prompt={data.columns['prompt']} names the column of ready prompts, but "
            f"data.template={data.template} makes the prompts. Set data.template=ready, or leave "
            f"data.columns.prompt out."
        )
    is_name = "/" not in data.name and data.name.strip(". ") != ""
    require(is_name, "data.name", data.name, "a name of files without '/', such as my_data")


def _validate_training(training: TrainingConfig) -> None:
    if (training.steps is None) == (training.epochs is None):
        raise InputError(
            f"training.steps={training.steps} and training.epochs={training.epochs}: give exactly "
            f"one of them, and not null."
        )
    require(len(training.betas) == 2, "training.betas", training.betas, "two numbers")


def _validate_frontiers(evaluation: EvaluationConfig, training: TrainingConfig) -> None:
    lists = {
        "evaluation.frontier": evaluation.frontier,
        "evaluation.frontier_top_p": evaluation.frontier_top_p,
        "training.frontier": training.frontier,
    }
    for key, values in lists.items():
        different = values is None or len(set(values)) == len(values)
        require(different, key, values, "a list of different numbers")
        if 0 in (values or ()):
            raise InputError(
                f"{key}={values} is not allowed: numbers must be above 0. Leave 0 out, because "
                f"greedy decoding is always a point of the frontier."
            )


def _validate_placement(config: Config) -> None:
    runtime = config.runtime
    names = ("shard_teacher", "teacher_offload", "teacher_device")
    values = {name: getattr(runtime, name) for name in names}
    placed = [f"runtime.{name}={'true' if value is True else value}"
              for name, value in values.items() if value]  # fmt: skip
    if placed and config.teacher.kind in ("average", "base"):
        raise InputError(
            f"{' and '.join(placed)}: not allowed here, because with "
            f"teacher.kind={config.teacher.kind} the whole teacher is on the student's device in "
            f"every process. Leave it out."
        )
    if runtime.shard_teacher and (runtime.teacher_offload or runtime.teacher_device):
        raise InputError(
            f"{' and '.join(placed)}: not allowed together, because a sharded teacher can be "
            f"neither offloaded to host memory nor placed on another device. Choose one of them."
        )
    if runtime.teacher_offload and config.method.reads_teacher_each_step:
        raise InputError(
            f"runtime.teacher_offload=true is not allowed here: the teacher makes forward passes "
            f"in every step of method={config.method.name}. Set runtime.teacher_offload=false"
            f"{' or method.lm_kd_ratio=0' * isinstance(config.method, MiniLLMConfig)}."
        )


def _validate_quantization(config: Config) -> None:
    """Refuse 4-bit weights where they would have to be divided, moved or averaged."""
    runtime, teacher = config.runtime, config.teacher
    moved = "shard_teacher" * runtime.shard_teacher or "teacher_offload" * runtime.teacher_offload
    if teacher.load_in_4bit and moved:
        raise InputError(
            f"runtime.{moved}=true is not allowed with teacher.load_in_4bit=true: 4-bit weights "
            f"stay complete on their device. Set runtime.{moved}=false or "
            f"teacher.load_in_4bit=false."
        )
    if config.student.load_in_4bit and teacher.kind == "average":
        raise InputError(
            "teacher.kind=average is not allowed with student.load_in_4bit=true: 4-bit weights "
            "cannot be averaged. Set student.load_in_4bit=false, or teacher.kind=base for the "
            "frozen base of the student."
        )


def _validate_attention(config: Config) -> None:
    """Refuse FlashAttention for models that compute in float32."""
    runtime = config.runtime
    if not runtime.uses_flash_attention or runtime.mixed_precision != "no":
        return
    dtypes = {"student.dtype": config.student.dtype}
    if config.teacher.path is not None:
        dtypes["teacher.dtype"] = config.teacher.dtype
    for number, member in enumerate(config.teacher.members):
        dtypes[f"teacher.members[{number}].dtype"] = member.dtype
    for key, dtype in dtypes.items():
        if dtype == "float32":
            raise InputError(
                f"runtime.attn_implementation={runtime.attn_implementation} is not allowed with "
                f"{key}=float32 and runtime.mixed_precision=no: it computes in half precision "
                f"only. Set runtime=bf16, or runtime.attn_implementation=sdpa."
            )


def validate(config: Config) -> None:
    """Refuse settings that cannot work, before anything is loaded.

    Raises:
        InputError: the message names the setting, its value and the allowed values.
    """
    _validate_frontiers(config.evaluation, config.training)
    check_rules(config)
    _validate_teacher(config.teacher, config.method)
    _validate_models(config)
    _validate_layers(config)
    _validate_data(config.data)
    _validate_training(config.training)
    _validate_placement(config)
    _validate_quantization(config)
    _validate_attention(config)
    _check_collection(config.method)
    if config.resume and config.overwrite:
        raise InputError(
            f"resume={config.resume} and overwrite=true are both set: a run is either continued or "
            f"deleted. Leave one of them out."
        )
    if os.path.isfile(config.output):  # unlike Path.is_file, also in a folder that others own
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
    _check_collection(config.method, processes)


def _check_collection(method: MethodConfig, processes: int = 1) -> None:
    """Refuse a collection that does not give every process the same number of whole prompts."""
    if not isinstance(method, MiniLLMConfig):
        return
    rollouts, repeats = method.rollouts_per_collection, method.responses_per_prompt
    if rollouts % (repeats * processes):
        raise InputError(
            f"method.rollouts_per_collection={rollouts} cannot be divided into "
            f"{repeats} responses per prompt on {processes} process(es) "
            f"(method.responses_per_prompt={repeats}). Give a multiple of {repeats * processes}."
        )
