"""Precisions in which a student is not trained as the settings say."""

from tests.commands.answers.case import Case

TRAIN = "train method=sft data=jsonl data.path=my_data data.validation_size=5 output=new"
LOADED, BUILT = "student.path=runs/teacher/best", "student.architecture=gpt2"
FLOAT16 = (
    "minillm: runtime.mixed_precision=fp16 is not allowed on a CPU: training in float16 needs a "
    "GPU. Set runtime=bf16 (bfloat16) or runtime.mixed_precision=no (float32)."
)


def half(dtype: str) -> str:
    """The answer to a student in half precision."""
    return (
        f"minillm: student.dtype={dtype} is not allowed in training: weights in half precision "
        f"lose most updates of a small training.lr to rounding. Set student.dtype=float32 with "
        f"runtime=bf16 (weights in float32, computation in bfloat16), or train an "
        f"adapter (student.lora.rank=16)."
    )


FLASH = "runtime.attn_implementation=flash_attention_2"
CASES = [
    Case(
        f"{TRAIN} {LOADED} {FLASH}",
        f"minillm: {FLASH} is not allowed with student.dtype=float32 and "
        f"runtime.mixed_precision=no: it computes in half precision only. Set runtime=bf16, or "
        f"runtime.attn_implementation=sdpa.",
    ),
    Case(
        f"{TRAIN} {LOADED} runtime.attn_implementation=sdp",
        "minillm: runtime.attn_implementation=sdp cannot be used for models of type 'gpt2': ... "
        "Set runtime.attn_implementation=null (the choice of transformers), eager or sdpa.",
    ),
    Case(f"{TRAIN} {BUILT} runtime=fp16 runtime.device=cpu", FLOAT16),
    Case(f"{TRAIN} {LOADED} runtime=fp16 runtime.device=cpu dry_run=true", FLOAT16),
    Case(f"{TRAIN} {LOADED} student.dtype=bfloat16 runtime=bf16", half("bfloat16")),
    Case(f"{TRAIN} {BUILT} student.dtype=float16", half("float16")),
    Case(f"{TRAIN} {LOADED} student.dtype=auto", half("auto")),
    Case(
        f"{TRAIN} {LOADED} student.dtype=bfloat16",
        half("bfloat16"),
        note="DeepSpeed in float32",
        variables=(("ACCELERATE_USE_DEEPSPEED", "true"),),
    ),
]
