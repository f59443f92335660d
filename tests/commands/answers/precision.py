"""Precisions in which a student is not trained as the settings say."""

from tests.commands.answers.case import Case

TRAIN = "train method=sft data=jsonl data.path=my_data data.validation_size=5 output=new"
LOADED, BUILT = "student.path=runs/teacher/best", "student.architecture=gpt2"
FLOAT16 = (
    "minillm: runtime.mixed_precision=fp16 is not allowed on a CPU: training in float16 needs a "
    "GPU. Set runtime=bf16 (bfloat16) or runtime.mixed_precision=no (float32)."
)

CASES = [
    Case(f"{TRAIN} {BUILT} runtime=fp16 runtime.device=cpu", FLOAT16),
    Case(f"{TRAIN} {LOADED} runtime=fp16 runtime.device=cpu dry_run=true", FLOAT16),
]
