"""Adapters and 4-bit weights that cannot be trained or loaded as the settings say."""

from tests.commands.answers.case import Case
from tests.commands.answers.results import DATA

LORA = f"student.path=foreign student.lora.rank=4 {DATA}"
NO_BASE = (
    "minillm: no_base is an adapter, and the model that the adapter changes was not found: "
    "base_model_name_or_path in its adapter_config.json is './gone'. Write the folder or Hub name "
    "of this model there."
)
NOTE = "the base of the adapter in `no_base` was deleted"
CASES = [
    Case(
        f"train method=kd student.path=foreign teacher.kind=base {DATA}",
        "minillm: teacher.kind=base is the student without its adapter, but the student has no "
        "adapter. Add student.lora.rank=16, or give an adapter as student.path, or set "
        "teacher.kind=local and teacher.path=FOLDER_OR_HUB_NAME.",
    ),
    Case(
        f"train method=seqkd teacher.kind=base {LORA}",
        "minillm: method=seqkd has responses of the teacher written before the training, "
        "which needs the folder of the teacher, but teacher.kind=base has none. Set "
        "teacher.kind=local and teacher.path to the value of student.path.",
    ),
    Case(
        f"train method=kd teacher.kind=base runtime.teacher_offload=true {LORA}",
        "minillm: runtime.teacher_offload=true: not allowed here, because with teacher.kind=base "
        "the whole teacher is on the student's device in every process. Leave it out.",
    ),
    Case(
        f"train method=sft {LORA} student.lora.target_modules=[q_proj]",
        "minillm: student.lora.target_modules=['q_proj'] is not allowed: no layer of "
        "GPT2LMHeadModel is named q_proj. Its linear layers are c_attn, c_fc, c_proj. Give some "
        "of them, or null for all of them but the head.",
    ),
    Case(
        f"train method=sft student.path=foreign student.lora.alpha=32 {DATA}",
        "minillm: student.lora.alpha=32.0 has no effect here: it is used only with "
        "student.lora.rank. Set student.lora.rank, or leave student.lora.alpha out.",
    ),
    Case(
        f"train method=sft student.path=foreign student.lora.saves=adapter {DATA}",
        "minillm: student.lora.saves=adapter is not allowed without an adapter. Add "
        "student.lora.rank=16, give an adapter as student.path, or leave student.lora.saves out.",
    ),
    Case(
        f"train method=sft student.architecture=gpt2 student.lora.rank=4 {DATA}",
        "minillm: student.lora.rank=4 is not allowed with student.architecture=gpt2: an adapter "
        "changes a pretrained model. Set student.path=FOLDER_OR_HUB_NAME, or leave "
        "student.lora.rank out.",
    ),
    Case(
        f"train method=sft student.path=foreign student.load_in_4bit=true {DATA}",
        "minillm: student.load_in_4bit=true is allowed in training only with an adapter, because "
        "4-bit weights cannot be trained. Add student.lora.rank=16, or set "
        "student.load_in_4bit=false.",
    ),
    Case(
        f"train method=kd teacher.path=foreign teacher.load_in_4bit=true "
        f"runtime.shard_teacher=true {LORA}",
        "minillm: runtime.shard_teacher=true is not allowed with teacher.load_in_4bit=true: 4-bit "
        "weights stay complete on their device. Set runtime.shard_teacher=false or "
        "teacher.load_in_4bit=false.",
    ),
    Case(
        f"plan method=sft student.load_in_4bit=true {LORA}",
        "minillm: load_in_4bit=true is not allowed here: minillm plan cannot count the memory of "
        "4-bit weights. ...",
    ),
    Case(f"train method=sft student.path=no_base {DATA}", NO_BASE, note=NOTE),
    Case(f"evaluate no_base {DATA}", NO_BASE, note=NOTE),
    Case(
        f"evaluate no_weights student.tokenizer=foreign {DATA}",
        "minillm: no_weights/adapter_model.safetensors is missing: the folder has only the "
        "settings of an adapter. Restore this file, or give another folder.",
    ),
    Case(
        f"train method=sft {LORA}",
        "minillm: a student with an adapter cannot be trained by FSDP2: its frozen weights are "
        "not divided among the processes. Launch with BACKEND=ddp. To save memory, ...",
        variables=(("ACCELERATE_USE_FSDP", "true"),),
    ),
]
