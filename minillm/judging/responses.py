"""Reads the responses beside result files, and pairs them with references or other responses."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from minillm.config import JudgeConfig
from minillm.errors import InputError
from minillm.evaluation.result import Result
from minillm.judging.questions import Pair

GREEDY = "greedy"
COLUMNS = {"prompt": str, "response": str, "references": list}

Pass = int | str  # a sampling seed, or GREEDY


@dataclass(frozen=True)
class Responses:
    """The responses of one result that are judged.

    Attributes:
        file: the result file.
        result: its content.
        checksum: of the file of responses, which another command may replace.
        rows: for each sampling seed, and for `GREEDY`, the rows of the N inputs.
    """

    file: Path
    result: Result
    checksum: str
    rows: Mapping[Pass, Sequence[Mapping[str, Any]]]

    def pairs(self) -> dict[Pass, list[Pair]]:
        """Each response with the first reference of its input."""
        return {
            key: [Pair(_task(row), row["response"], row["references"][0]) for row in rows]
            for key, rows in self.rows.items()
        }

    def pairs_with(self, other: "Responses") -> dict[Pass, list[Pair]]:
        """Each response with the response of another model to the same input.

        Raises:
            InputError: the other model has other inputs, or another first seed.
        """
        pairs = {}
        for key, rows in self.rows.items():
            if key not in other.rows:
                raise InputError(
                    f"{other.file} has other sampling seeds than {self.file}. Give judge.seeds=[N] "
                    f"with seeds that both have."
                )
            opponents = other.rows[key]
            if len(rows) != len(opponents) or not all(map(_have_same_input, rows, opponents)):
                raise InputError(
                    f"{other.file} has other inputs than {self.file}, so their responses cannot be "
                    f"compared. Evaluate both models on the same data."
                )
            pairs[key] = [
                Pair(_task(row), row["response"], opponent["response"])
                for row, opponent in zip(rows, opponents, strict=True)
            ]
        return pairs


def _have_same_input(row: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two responses answer the same input. Older files have no task to compare."""
    same_task = row.get("task") == other.get("task") or not (row.get("task") and other.get("task"))
    return same_task and row["references"] == other["references"]


def _task(row: Mapping[str, Any]) -> str:
    """What was asked. Files of older versions have only the prompt, in the model's template."""
    return row.get("task") or row["prompt"]


def read_responses(file: Path, result: Result, settings: JudgeConfig) -> Responses:
    """The responses beside a result file that the settings choose.

    Raises:
        InputError: there are no responses, a line is malformed, or a chosen seed is missing.
    """
    source = file.with_suffix(".responses.jsonl")
    if not source.is_file():
        raise InputError(
            f"{file} has no responses: {source} is missing. Evaluate again with overwrite=true, or "
            f"give the folder of a run."
        )
    checksum = checksum_of(source)
    rows: dict[Pass, list[Mapping[str, Any]]] = {}
    for row in _read_rows(source):
        rows.setdefault(row["seed"], []).append(row)
    chosen = {}
    for key in _chosen(rows, settings, source):
        if len(rows[key]) != result.inputs:
            raise InputError(
                f"{source} has {len(rows[key])} responses of {key}, but {file} has "
                f"{result.inputs} inputs. Evaluate again with overwrite=true."
            )
        chosen[key] = rows[key][: settings.limit]
    return Responses(file, result, checksum, chosen)


def check_unchanged(responses: Responses) -> None:
    """Refuse responses that were replaced after they were read.

    Raises:
        InputError: the file of responses is another one.
    """
    source = responses.file.with_suffix(".responses.jsonl")
    if not source.is_file() or checksum_of(source) != responses.checksum:
        raise InputError(
            f"{source} was replaced while the judge read it, so the scores are not written. Run "
            f"the same command again."
        )


def checksum_of(file: Path) -> str:
    """The sha256 of a file."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _chosen(
    rows: Mapping[Pass, Sequence[Mapping[str, Any]]], settings: JudgeConfig, source: Path
) -> list[Pass]:
    """The seeds to judge, and `GREEDY` if the settings want it."""
    seeds = [key for key in rows if key != GREEDY]
    for seed in settings.seeds or ():
        if seed not in seeds:
            raise InputError(
                f"judge.seeds={settings.seeds}: {source} has no responses of seed {seed}. It has "
                f"the seeds {', '.join(map(str, seeds))}."
            )
    if settings.greedy and GREEDY not in rows:
        raise InputError(
            f"judge.greedy=true: {source} has no responses of greedy decoding. Evaluate again with "
            f"evaluation.greedy=true, or leave judge.greedy out."
        )
    if not seeds:
        raise InputError(f"{source} has no sampled responses. Evaluate again with overwrite=true.")
    return [*(settings.seeds or seeds[:1]), *([GREEDY] if settings.greedy else [])]


def _read_rows(source: Path) -> Iterator[Mapping[str, Any]]:
    with source.open(encoding="utf-8", errors="replace") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                row = json.loads(line)
                is_row = all(isinstance(row[name], kind) for name, kind in COLUMNS.items())
                is_row = is_row and "seed" in row and all(map(_is_text, row["references"]))
            except (ValueError, KeyError, TypeError):
                is_row = False
            if not is_row:
                raise InputError(
                    f"{source}, line {number} is not a response. Evaluate again with "
                    f"overwrite=true."
                )
            if not row["references"]:
                raise InputError(
                    f"{source}, line {number} has no reference, with which the judge could compare "
                    f"the response. Evaluate on data with references."
                )
            yield row


def _is_text(value: Any) -> bool:
    return isinstance(value, str)
