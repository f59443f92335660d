"""Fabricated results of models of the paper, as `minillm evaluate` writes them.

`write_runs(FOLDER)` writes what the launch scripts and the commands of the page would write: every
table and figure of the paper can be made of it.
"""

import json
import zlib
from pathlib import Path

import numpy as np

INPUTS = 60
TEMPERATURES = (0, 0.5, 0.75, 1, 1.25)
DATA_SETS = ("dolly", "self_inst", "vicuna", "sinst", "uinst")
# ROUGE-L on the first data set; the others are lower by 3 points each.
SCORES = {"teacher": 28.0, "sft": 23.0, "kd": 22.5, "seqkd": 23.2, "minillm": 25.0}
MINILLM = {"name": "minillm", "variant": "paper", "alpha": 0.2, "single_step": True,
           "length_normalization": None, "lm_coef": 1.0}  # fmt: skip


def result(
    family: str, size: str, method: str, data: str = "dolly", score: float = 20.0, **parts
) -> dict:
    """One result.

    Args:
        family, size: settings of the student.
        method: `evaluation.name` for a teacher, else the name of the training's method.
        data: name of the data set.
        score: its ROUGE-L at temperature 1.
        parts: `seed` of the training, `run` (its folder), `teacher` (a folder), `changes` of the
            method, `lora` (a rank), and keys of the result that replace others.
    """
    seed, run = parts.pop("seed", 1), parts.pop("run", f"{family}/{size}/{method}")
    teacher, changes = parts.pop("teacher", None), parts.pop("changes", {})
    lora = parts.pop("lora", None)
    random = np.random.default_rng(zlib.crc32(f"{run}{data}".partition("runs")[2].encode()))
    settings = (MINILLM if method == "minillm" else {"name": method}) | changes
    config = {
        "student": {"family": family, "size": size, "lora": {"rank": lora}},
        "teacher": {"path": teacher},
        "method": settings,
    }
    values = random.normal(score, 9, INPUTS)
    factor = score / 25
    history = [
        {"step": 100 * i, "rougeL": score + 2 - 6 * 0.6**i, "reverse_kl": (0.4 + 0.7**i) * factor}
        for i in range(12)
    ]
    return {
        "format": 2, "data": data, "method": method, "model": "gpt2 768x12",
        "parameters": 124_000_000, "inputs": INPUTS, "seeds": [10, 20, 30, 40, 50],
        "temperature": 1.0,
        "metrics": {
            "rougeL": metric(values, std=0.3, greedy=score + 3),
            "distinct_4": metric(random.normal(95, 2, INPUTS), std=0.1, greedy=90.0),
            "lm_loss": metric(random.normal(3.6, 0.4, INPUTS), std=0.0),
        },
        "training": {"seconds": 60.0, "seed": seed, "steps": 1100, "best_step": 1100,
                     "config": config},
        "run": {"name": Path(run).name, "history": history},
        "wall_seconds": 5.0, "provenance": {"command": f"minillm evaluate {run}"},
        "config": {
            "student": {"path": f"{run}/best"}, "teacher": {"path": teacher}, "data": {},
            "evaluation": {"name": "teacher" if method == "teacher" else None},
        },
    } | ({"frontier": frontier(score, random)} if data == "dolly" else {}) | parts  # fmt: skip


def metric(values: np.ndarray, std: float | None = None, greedy: float | None = None) -> dict:
    mean, half = float(values.mean()), float(2 * values.std() / len(values) ** 0.5)
    return {"mean": mean, "std": std, "ci_low": mean - half, "ci_high": mean + half, "per_seed": {},
            "greedy": greedy, "per_input": values.tolist(), "weights": None}  # fmt: skip


def frontier(score: float, random: np.random.Generator) -> dict:
    """ROUGE-L falls, and diversity rises, with the temperature."""
    noise = random.normal(0, 3, INPUTS)

    def point(temperature: float) -> dict:
        diversity = np.full(INPUTS, 0.5) if temperature == 0 else np.clip(
            0.62 + 0.3 * temperature + noise / 100, 0, 1)  # fmt: skip
        quality = score + 4 * (1 - temperature**2) + noise
        return {"temperature": temperature, "top_p": 1,
                "values": {"rougeL": value(quality), "diversity": value(diversity, "ngrams"),
                           "ngrams": value(np.full(INPUTS, 30.0))}}  # fmt: skip

    return {"samples": 2, "points": [point(temperature) for temperature in TEMPERATURES]}


def value(values: np.ndarray, weights: str | None = None) -> dict:
    return {"mean": float(values.mean()), "per_input": values.tolist(), "weights": weights}


def exposure(slope: float, length: int = 200) -> dict:
    excess = (slope * np.arange(length) ** 0.7).tolist()
    return {
        "samples": 10, "excess_error": excess, "ci_low": [0.9 * x for x in excess],
        "ci_high": [1.1 * x for x in excess], "student_error": excess, "teacher_error": excess,
        "student_share": [1.0] * length, "teacher_share": [1.0] * length,
    }  # fmt: skip


def classification(accuracy: float, ece: float) -> dict:
    right = np.tile(
        [0.0] * round(10 - accuracy / 10) + [100.0] * round(accuracy / 10), INPUTS // 10
    )
    return {"accuracy": metric(right), "ece": metric(np.full(INPUTS, ece))}


def write_runs(folder: Path) -> Path:
    """Write the results of four families into `folder/runs`, and responses of two models."""
    runs = folder / "runs"
    for content in (*_quality(runs), *_variants(runs), *_subsets(runs), *_others(runs)):
        write(content)
    for method in ("sft", "minillm"):
        _write_responses(runs / f"GPT-2/120M/{method}/evaluation/dolly.responses.jsonl", method)
    return runs


def write(content: dict) -> Path:
    """Write a result into the folder of its run."""
    run = Path(content["config"]["student"]["path"]).parent
    file = run / "evaluation" / f"{content['data']}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))
    return file


def _quality(runs: Path) -> list[dict]:
    """Every method of GPT-2 on all data sets, with two training runs of the smallest MiniLLM."""
    teacher = f"{runs}/GPT-2/teacher/best"
    results = []
    for i, data in enumerate(DATA_SETS):
        results.append(result("GPT-2", "1.5B", "teacher", data, 28 - 3 * i,
                              run=f"{runs}/GPT-2/teacher"))  # fmt: skip
        for gain, size in enumerate(("120M", "340M", "760M")):
            for method in ("sft", "kd", "seqkd", "minillm"):
                parts = {"teacher": None if method == "sft" else teacher}
                parts["run"] = f"{runs}/GPT-2/{size}/{method}"
                score = SCORES[method] + gain - 3 * i
                results.append(result("GPT-2", size, method, data, score, **parts))
    second = {"teacher": teacher, "seed": 2, "run": f"{runs}/GPT-2/120M/minillm_2"}
    results.append(result("GPT-2", "120M", "minillm", "dolly", 25.6, **second))
    for each, slope in ((results[1], 0.9), (results[4], 0.2)):
        each["exposure_bias"] = exposure(slope)
    return results


def _variants(runs: Path) -> list[dict]:
    """Ablations of MiniLLM, other shares of the teacher, and smaller teachers."""
    variants = {
        "no_length": ({"length_normalization": False}, 16, "teacher"),
        "alpha_0": ({"alpha": 0}, 21, "teacher"),
        "no_single_step": ({"single_step": False}, 24, "teacher"),
        "alpha_0.5": ({"alpha": 0.5}, 24.6, "teacher"),
        "alpha_0.9": ({"alpha": 0.9}, 22.6, "teacher"),
        "of_340M": ({}, 23.5, "340M/sft"),
        "of_760M": ({}, 24.2, "760M/sft"),
    }
    return [
        result("GPT-2", "120M", "minillm", "dolly", score, run=f"{runs}/GPT-2/120M/{name}",
               teacher=f"{runs}/GPT-2/{teacher}/best", changes=changes)
        for name, (changes, score, teacher) in variants.items()
    ]  # fmt: skip


def _subsets(runs: Path) -> list[dict]:
    """S-NI by the length of its references."""
    results = []
    for low, high, gain in ((0, 5, 0.2), (6, 10, 1.5)):
        for method in ("sft", "kd", "minillm"):
            score = 15 + (gain if method == "minillm" else 0)
            each = result("GPT-2", "120M", method, f"sinst_{low}_{high}", score,
                          teacher=None if method == "sft" else f"{runs}/GPT-2/teacher/best",
                          run=f"{runs}/GPT-2/120M/{method}")  # fmt: skip
            each["config"]["data"] = {"min_reference_length": low, "max_reference_length": high}
            results.append(each)
    return results


def _others(runs: Path) -> list[dict]:
    """Classifications of LLaMA and OPT, and OPT without L_PT."""
    results = []
    for method, accuracy, ece in (("kd", 80, 0.2), ("minillm", 90, 0.1)):
        for data in ("sst2", "boolq"):
            results.append(result("LLaMA", "7B", method, data, run=f"{runs}/LLaMA/7B/{method}",
                                  metrics=classification(accuracy, ece)))  # fmt: skip
    for name, changes, accuracy in (("minillm", {}, 70), ("no_pt", {"lm_coef": 0.0}, 60)):
        run = {"run": f"{runs}/OPT/1.3B/{name}", "changes": changes}
        for data in ("sst2", "boolq"):
            results.append(result("OPT", "1.3B", "minillm", data,
                                  metrics=classification(accuracy, 0.2), **run))  # fmt: skip
        for i, data in enumerate(("dolly", "self_inst", "vicuna")):
            results.append(result("OPT", "1.3B", "minillm", data, 26 - 3 * i, **run))
    return results


def _write_responses(file: Path, method: str) -> None:
    sign = 1 if method == "minillm" else -1
    rows = [
        {"seed": seed, "prompt": f"prompt {i}", "references": [f"reference {i}"],
         "response": f"{method} writes {i}", "rougeL": 50 + sign * (i - 20)}
        for seed in (10, "greedy")
        for i in range(40)
    ]  # fmt: skip
    file.write_text("\n".join(map(json.dumps, rows)))
