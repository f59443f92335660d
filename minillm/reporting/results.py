"""Finds result files, reads and checks them, and sorts their results.

`minillm/evaluation/result.py` describes what a file holds.
"""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from minillm.errors import InputError
from minillm.evaluation.result import Result, to_text
from minillm.reporting.groups import label_results, order_methods
from minillm.reporting.roles import with_roles

MERGED_NAME = "results.json"


def load_results(paths: Sequence[Path]) -> list[Result]:
    """Read and check results; return them rounded, and sorted by data set and method.

    The results of a model that other results name as teacher have the method `teacher`. Teacher and
    start are first. Other methods have the order of the paths and of the results in a
    file. Results of one method are sorted by model, training seed and run.

    Args:
        paths: result files, folders searched for `evaluation/*.json` at any depth, or earlier
            reports (their `results.json` or their folder). A result that occurs several times is
            returned once.

    Raises:
        InputError: there is nothing at a path, a file is malformed, lacks a key or has an unknown
            format, or two files hold different results of the same model and training seed.
    """
    return [_rounded(result) for result in _distinct(_sorted(locate_results(paths)))]


def locate_results(paths: Sequence[Path]) -> dict[str, Result]:
    """The checked results by the name of their file, or by file and entry of a merged file.

    Arguments, errors and the method `teacher` are those of `load_results`. Repeated results are
    kept, and different results of the same model are allowed.
    """
    if not paths:
        raise InputError("no results were given. Give result files, or folders of runs.")
    results = {}
    for path in paths:
        for file in _result_files(Path(path)):
            results.update(_read(file))
    return dict(zip(results, with_roles([*results.values()]), strict=True))


def is_merged(file: Path) -> bool:
    """Whether a file is the `results.json` of an earlier report."""
    try:
        load_results([file])
        return isinstance(json.loads(file.read_text(encoding="utf-8")), list)
    except InputError:
        return False


def merged_text(results: Iterable[Result]) -> str:
    """The text of a `results.json`."""
    return to_text([result.to_json() for result in results])


def _result_files(path: Path) -> list[Path]:
    """The result files at a path."""
    if not path.exists():
        raise InputError(f"{path} does not exist. Give a result file or a folder of runs.")
    if path.is_file():
        return [path]
    files = path.glob("*.json") if path.name == "evaluation" else path.rglob("evaluation/*.json")
    files = sorted(file for file in files if file.is_file())
    if not files and (path / MERGED_NAME).is_file():
        files = [path / MERGED_NAME]
    if not files:
        raise InputError(
            f"{path} holds no results: no evaluation/*.json at any depth, and no {MERGED_NAME} of "
            f"an earlier report. Evaluate a run first, or give another folder."
        )
    return files


def _read(file: Path) -> dict[str, Result]:
    """The checked results of one file, by file and entry."""
    try:
        # NaN and Infinity are not json. They become null, which is refused instead of a number.
        content = json.loads(file.read_text(encoding="utf-8"), parse_constant=lambda _: None)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{file}, line {error.lineno}, column {error.colno}: not valid json ({error.msg}). "
            f"Evaluate again to write a new file."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{file}, byte {error.start}: not UTF-8 text. Give another file, or evaluate again."
        ) from error
    name = str(file.resolve())
    if not isinstance(content, list):
        return {name: Result.from_json(content, name)}
    if not content:
        raise InputError(f"{file} holds no results: its list is empty. Evaluate a run first.")
    entries = {f"{name}, entry {i}": entry for i, entry in enumerate(content)}
    return {where: Result.from_json(entry, where) for where, entry in entries.items()}


def _sorted(results: dict[str, Result]) -> list[tuple[str, Result]]:
    """Sort by data set, method, model, training seed and run."""
    methods = order_methods(result.method for result in results.values())

    def key(item: tuple[str, Result]) -> tuple:
        result = item[1]
        seed = -1 if result.training_seed is None else result.training_seed
        method = methods.index(result.method)
        return result.data, method, result.model, seed, result.run_name or ""

    return sorted(results.items(), key=key)


def _distinct(items: Sequence[tuple[str, Result]]) -> list[Result]:
    """Results without repetitions. Refuses different results of the same model and seed."""
    distinct = {}
    for where, result in items:
        distinct.setdefault(json.dumps(rounded(result.to_json()), sort_keys=True), (where, result))
    locations, results = zip(*distinct.values(), strict=True)
    location_of = {}
    for where, result, label in zip(locations, results, label_results(results), strict=True):
        key = result.data, label, result.training_seed
        if key in location_of:
            raise InputError(
                f"two different results for data {key[0]!r}, {label!r}, training seed {key[2]}: "
                f"{location_of[key]} and {where}. Give one of them, or give the runs different "
                f"names."
            )
        location_of[key] = where
    return list(results)


def _rounded(result: Result) -> Result:
    return Result.from_json(rounded(result.to_json()), "rounded")


def rounded(value: Any) -> Any:
    """Numbers rounded to 4 decimals, or to 4 digits if they are small, for readable diffs.

    Config and provenance are not rounded, because they show how to reproduce the numbers.
    """
    if isinstance(value, float):
        return round(value, 4) if abs(value) >= 0.1 else float(f"{value:.4g}")
    if isinstance(value, list):
        return [rounded(item) for item in value]
    if isinstance(value, dict):
        exact = ("config", "provenance")
        return {key: item if key in exact else rounded(item) for key, item in value.items()}
    return value
