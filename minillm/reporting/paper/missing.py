"""What to run for each table and figure. The commands are those of the models of the paper."""

_STUDENT = "bash scripts/gpt2/minillm/120M.sh"
_ABLATION = (
    f"`{_STUDENT} method.alpha=0 output=runs/gpt2/120M/no_teacher_mixing`, "
    f"`{_STUDENT} method.length_normalization=false output=runs/gpt2/120M/no_length_normalisation` "
    f"and `{_STUDENT} method.single_step=false method.return_from_next=false "
    "output=runs/gpt2/120M/no_single_step`, then `bash scripts/gpt2/eval/dolly.sh`"
)
_CLASSIFICATION = (
    "`minillm evaluate runs/llama/7B/minillm data=sst2 evaluation.metrics=[accuracy,ece] "
    "evaluation.seeds=[10] evaluation.greedy=false`, and the same with `data=boolq`, for each run"
)
COMMANDS = {
    "table1": "`bash scripts/gpt2/all.sh`, or `all.sh` of another family",
    "table2": _CLASSIFICATION,
    "table3": "`bash scripts/llama/eval/dolly.sh` and `bash scripts/llama/eval/self_inst.sh`",
    "table4": _ABLATION,
    "table7": "`bash scripts/opt/minillm/1.3B.sh method.lm_coef=0 "
    "output=runs/opt/1.3B/without_l_pt`, the scripts of `scripts/opt/eval`, and "
    + _CLASSIFICATION.replace("llama/7B/minillm", "opt/1.3B/without_l_pt"),
    "figure1": "`bash scripts/gpt2/all.sh`, or `all.sh` of another family",
    "figure5": f"`{_STUDENT} teacher.path=runs/gpt2/760M/sft/best "
    "output=runs/gpt2/120M/minillm_of_760M`, the same with 340M and with `seqkd/120M.sh`, then "
    "`bash scripts/gpt2/eval/dolly.sh`",
    "figure6": "`minillm evaluate runs/gpt2/120M/minillm data.name=dolly_exposure "
    "data.test=test.jsonl evaluation.exposure_samples=10 evaluation.seeds=[10] "
    "evaluation.greedy=false`, for each student; SFT also needs "
    "`teacher.path=runs/gpt2/teacher/best`",
    "figure7": "`minillm evaluate runs/gpt2/120M/sft runs/gpt2/120M/minillm data=sinst "
    "data.name=sinst_0_5 data.kind=jsonl data.path=FOLDER data.test=FILE "
    "data.max_reference_length=5`, and the same with `data.name=sinst_6_10 "
    "data.min_reference_length=6 data.max_reference_length=10`",
    "figure8": _ABLATION,
    "figure16": f"`{_STUDENT} method.alpha=0.5 output=runs/gpt2/120M/alpha_0.5`, and the same with "
    "other values from 0 to 1, then `bash scripts/gpt2/eval/dolly.sh`",
    "frontier": "`bash scripts/gpt2/eval/dolly.sh`, which sets `evaluation.frontier`",
}


def missing_text(names: list[str]) -> str:
    """A Markdown list with a line for each table and figure that is not there."""
    return "\n".join(f"- {title_of(name)}: {COMMANDS[name]}." for name in COMMANDS if name in names)


def title_of(name: str) -> str:
    """Such as `Table 1` of `table1`."""
    if name == "frontier":
        return "Quality and diversity"
    kind = "table" if name.startswith("table") else "figure"
    return f"{kind.capitalize()} {name.removeprefix(kind)}"
