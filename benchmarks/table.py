"""Writes results to JSON files, and the rows of all files to one Markdown table in a README.

A file contains the rows of each shape and the machine and versions of the measurement. A new
measurement of a shape replaces the rows of that shape only.
"""

import json
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.documents import fill, table
from minillm.files import read_json, write_json
from minillm.runs import machine
from minillm.version import git_state

PACKAGES = ("torch", "transformers", "accelerate", "trl")
# Options whose values are folders, and the text that replaces a folder in results.
FOLDERS = {"--gpt2": "RUNS", "--llama": "LLAMA_RUNS", "--data": "PATH", "--output": "FOLDER",
           "--work": "FOLDER"}  # fmt: skip
START = "# Speed and memory\n\n<!-- table -->\n<!-- end of table -->\n"


@dataclass(frozen=True)
class Target:
    """A lower bound (`>=`) or an upper bound (`<=`)."""

    sign: str
    value: float

    def met(self, value: float) -> bool:
        return value >= self.value if self.sign == ">=" else value <= self.value

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


@dataclass(frozen=True)
class Row:
    """One measurement of our code, alone or compared with another implementation.

    Attributes:
        shape: name of the shape.
        measure: description of the measured value, with its unit.
        ours: value of our code.
        name: name of the other implementation, or None.
        other: value of the other implementation.
        ratio_of: the ratio in the table, `other / ours` or `ours / other`.
        target: target of the ratio, or of `ours` if there is no other implementation.
    """

    shape: str
    measure: str
    ours: float | None
    name: str | None = None
    other: float | None = None
    ratio_of: str = "other / ours"
    target: Target | None = None

    @property
    def ratio(self) -> float | None:
        if self.ours is None or self.other is None:
            return None
        return self.other / self.ours if self.ratio_of == "other / ours" else self.ours / self.other

    @property
    def met(self) -> bool | None:
        value = self.ours if self.name is None else self.ratio
        return self.target.met(value) if self.target and value is not None else None

    def record(self) -> dict[str, Any]:
        text = str(self.target) if self.target else None
        return asdict(self) | {"ratio": self.ratio, "target": text, "met": self.met}


def provenance(module: str, threads: int, repeats: int | None = None) -> dict[str, Any]:
    """Command, revision, machine, threads and versions of a measurement."""
    revision, dirty = git_state()
    return {
        "command": " ".join(["python", "-m", module, *_without_folders(sys.argv[1:])]),
        "git_revision": revision,
        "git_dirty": dirty,
        "machine": machine(),
        "threads": threads,
        "repeats": repeats,
        "versions": {"python": platform.python_version()} | {x: _version(x) for x in PACKAGES},
    }


def _without_folders(arguments: Sequence[str]) -> list[str]:
    """The arguments, with folders replaced by the texts of `FOLDERS`."""
    options = ["", *arguments]
    return [FOLDERS.get(option, word) for option, word in zip(options, arguments, strict=False)]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save(
    output: Path, name: str, shape: str, rows: Sequence[Row], run: dict, details: dict
) -> None:
    """Write the rows of a shape to `output/NAME.json`, update the README, and print the rows."""
    path = output / f"{name}.json"
    content = read_json(path) or {"rows": [], "runs": {}}
    other_rows = [row for row in content["rows"] if row["shape"] != shape]
    content["rows"] = other_rows + [row.record() for row in rows]
    content["runs"][shape] = run | {"details": details}
    write_json(path, content)
    write_table(output)
    print(f"\n{markdown([row.record() for row in rows])}\n\n{path}")


def write_table(output: Path) -> None:
    """Write the table of all result files between the marks in `output/README.md`."""
    readme = output / "README.md"
    text = readme.read_text(encoding="utf-8") if readme.is_file() else START
    files = [json.loads(path.read_text()) for path in sorted(output.glob("*.json"))]
    rows = [row for file in files for row in file["rows"]]
    runs = {_run_line(run): None for file in files for run in file["runs"].values()}
    content = "\n".join([markdown(rows), "", *runs])
    readme.write_text(fill(text, "table", content), encoding="utf-8")


def _run_line(run: dict) -> str:
    revision = (run["git_revision"] or "unknown")[:12] + ("+" if run["git_dirty"] else "")
    versions = ", ".join(f"{name} {text}" for name, text in run["versions"].items() if text)
    threads = f"{run['threads']} thread{'s' if run['threads'] > 1 else ''}"
    return f"- `{run['command']}`: {run['machine']}, {threads}; {versions}; revision {revision}"


def markdown(rows: Sequence[dict]) -> str:
    header = ["shape, measure", "ours", "other", "", "ratio", "target", "met"]
    return table(header, [_cells(row) for row in rows])


def _cells(row: dict) -> list[str]:
    met = {True: "yes", False: "**no**", None: ""}[row["met"]]
    name = row["name"] or ""
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    if ratio and row["ratio_of"] == "ours / other":
        ratio += " (ours / other)"
    measure = f"*{row['shape']}*: {row['measure']}"
    return [measure, _number(row["ours"]), _number(row["other"]), name, ratio,
            row["target"] or "", met]  # fmt: skip


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if value < 100 else f"{value:.0f}"
