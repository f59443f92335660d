"""Result files: one json for each model and data set, as the evaluation writes them.

Here they are read, checked and sorted, and refused with a word on what is wrong; what is in them
goes on unchanged.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from types import NoneType

from minillm.errors import InputError
from minillm.reporting.groups import label_results, method_order, unique, value_at

FORMAT = 1
MERGED_NAME = "results.json"
_NUMBER = (int, float)
# Dotted keys that every result has, with what they may hold; other keys are kept as they are.
_KEYS = {
    "data": (str,),
    "inputs": (int,),
    "method": (str,),
    "model": (str,),
    "parameters": (*_NUMBER, NoneType),
    "rougeL": (dict,),
    "rougeL.mean": _NUMBER,
    "rougeL.std": (*_NUMBER, NoneType),
    "rougeL.ci_low": _NUMBER,
    "rougeL.ci_high": _NUMBER,
    "greedy": (dict, NoneType),
    "greedy.rougeL": _NUMBER,
    "length": (*_NUMBER, NoneType),
    "empty": (*_NUMBER, NoneType),
    "unfinished": (*_NUMBER, NoneType),
    "reverse_kl": (*_NUMBER, NoneType),
    "per_input": (list,),
    "training": (dict, NoneType),
    "training.seconds": (*_NUMBER, NoneType),
    "training.seed": (int, NoneType),
    "run": (dict, NoneType),
    "run.name": (str,),
    "run.history": (list,),
    "seeds": (list,),
    "temperature": _NUMBER,
    "wall_seconds": _NUMBER,
    "provenance": (dict,),
    "config": (dict, NoneType),
}
_KIND_NAMES = {str: "text", int: "a number", float: "a number", dict: "an object", list: "a list"}


def load_results(paths: Sequence[Path]) -> list[dict]:
    """Read and check results, sorted by data set and method.

    Args:
        paths: each a result file, a folder searched for `evaluation/*.json` at any depth, or the
            `results.json` of an earlier report (or the report's folder). A result that is found
            more than once is taken once.

    Raises:
        InputError: if there is nothing at a path, a file is malformed, lacks a key, has an unknown
            format, or two files hold different results for the same thing.
    """
    if not paths:
        raise InputError("no results were given; give result files, or folders of runs")
    found = {}  # where a result stands -> the result
    for path in paths:
        for file in _result_files(Path(path)):
            found.update(_read(file))
    results = sorted(found.items(), key=lambda item: _order(item[1]))
    return _distinct(results)


def _result_files(path: Path) -> list[Path]:
    """The files that a path stands for."""
    if not path.exists():
        raise InputError(f"{path} does not exist; give a result file or a folder of runs")
    if path.is_file():
        return [path]
    files = path.glob("*.json") if path.name == "evaluation" else path.rglob("evaluation/*.json")
    files = sorted(file for file in files if file.is_file())
    if not files and (path / MERGED_NAME).is_file():
        files = [path / MERGED_NAME]
    if not files:
        raise InputError(
            f"{path} holds no results: no evaluation/*.json at any depth, and no {MERGED_NAME} of "
            "an earlier report; evaluate a run first, or give another folder"
        )
    return files


def _read(file: Path) -> dict[str, dict]:
    """The checked results of one file, by where they stand."""
    try:
        # NaN and Infinity are no json; read as null, they are refused where a number is needed.
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{file}, line {error.lineno}, column {error.colno}: not valid json ({error.msg}); "
            "evaluate again to write it anew"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{file}, byte {error.start}: not UTF-8 text, so no result") from error
    place = str(file.resolve())
    if not isinstance(content, list):
        results = {place: content}
    elif content:
        results = {f"{place}, entry {i}": result for i, result in enumerate(content)}
    else:
        raise InputError(f"{file} holds no results: its list is empty; evaluate a run first")
    for where, result in results.items():
        _check(result, where)
    return results


def _check(result, where: str) -> None:
    """Refuse what is not a result of the known format."""
    if not isinstance(result, dict) or "format" not in result:
        raise InputError(
            f"{where}: no result, for it has no key 'format'; give files that `evaluate` wrote"
        )
    if result["format"] != FORMAT:
        raise InputError(
            f"{where}: format {result['format']!r} is unknown, {FORMAT} is allowed; "
            "evaluate again with this version"
        )
    for key, kinds in _KEYS.items():
        parent, _, name = key.rpartition(".")
        holder = result[parent] if parent else result
        if holder is None:  # an optional object that is not there
            continue
        if name not in holder:
            raise InputError(f"{where}: key {key!r} is missing; evaluate again to write it")
        if isinstance(holder[name], bool) or not isinstance(holder[name], kinds):
            allowed = " or ".join(unique(_KIND_NAMES.get(kind, "null") for kind in kinds))
            raise InputError(f"{where}: key {key!r} is {holder[name]!r}; {allowed} is allowed")
    if not result["per_input"] or not all(isinstance(x, _NUMBER) for x in result["per_input"]):
        raise InputError(f"{where}: key 'per_input' must hold one number for each input")
    if not all(isinstance(p, dict) and "step" in p for p in value_at(result, "run.history") or []):
        raise InputError(
            f"{where}: a point of 'run.history' lacks a 'step'; evaluate the run again"
        )


def _order(result: dict) -> tuple:
    """Sorts by data set, method, model, run and training seed."""
    name, seed = value_at(result, "run.name") or "", value_at(result, "training.seed")
    seed = -1 if seed is None else seed
    return result["data"], *method_order(result["method"]), result["model"], seed, name


def _distinct(found: Sequence[tuple[str, dict]]) -> list[dict]:
    """Results without repetitions; two different ones for the same thing are refused."""
    kept = {}
    for where, result in found:
        kept.setdefault(json.dumps(rounded(result), sort_keys=True), (where, result))
    places, results = zip(*kept.values(), strict=True)
    seen = {}
    for where, result, label in zip(places, results, label_results(results), strict=True):
        key = result["data"], label, value_at(result, "training.seed")
        if key in seen:
            raise InputError(
                f"two different results for data {key[0]!r}, {label!r}, training seed {key[2]}: "
                f"{seen[key]} and {where}; give one of them, or name the runs differently"
            )
        seen[key] = where
    return list(results)


def rounded(value):
    """Numbers to 4 places (small ones to 4 digits) for readable diffs; exact where they decide.

    Config and provenance say how to get the numbers again, so they are kept as they are.
    """
    if isinstance(value, float):
        return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.4g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        exact = ("config", "provenance")
        return {key: v if key in exact else rounded(v) for key, v in value.items()}
    return value
