"""Rows of results: JSON files, and one Markdown table of all of them in a README.

A file holds the rows of each shape with what they were measured on; measuring a shape again
replaces its rows alone.
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
from minillm.runs import git_state, machine

PACKAGES = ("torch", "transformers", "accelerate", "trl")
# Options that take a folder of this machine, and what is shown in its place.
FOLDERS = {"--gpt2": "RUNS", "--llama": "LLAMA_RUNS", "--data": "PATH", "--output": "FOLDER",
           "--work": "FOLDER"}  # fmt: skip
START = "# Speed and memory\n\n<!-- table -->\n<!-- end of table -->\n"


@dataclass(frozen=True)
class Target:
    """`>=` or `<=` a number."""

    sign: str
    value: float

    def met(self, value: float) -> bool:
        return value >= self.value if self.sign == ">=" else value <= self.value

    def __str__(self) -> str:
        return f"{self.sign} {self.value:g}"


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes:
        shape: name of the shape.
        measure: what is measured, with its unit.
        ours: figure of ours.
        name: of the other; what is measured alone has none.
        other: its figure.
        ratio_of: `other / ours` or `ours / other`, whichever the target is about.
        target: of the ratio, or of our figure where there is no other.
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
    """What rows were measured with."""
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
    """The arguments with the name of a folder's option in place of the folder."""
    before = ["", *arguments]
    return [FOLDERS.get(option, word) for option, word in zip(before, arguments, strict=False)]


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def save(
    output: Path, name: str, shape: str, rows: Sequence[Row], run: dict, details: dict
) -> None:
    """Put the rows of a shape into `output/NAME.json`, write the table anew and print it."""
    path = output / f"{name}.json"
    found = read_json(path) or {"rows": [], "runs": {}}
    kept = [row for row in found["rows"] if row["shape"] != shape]
    found["rows"] = kept + [row.record() for row in rows]
    found["runs"][shape] = run | {"details": details}
    write_json(path, found)
    write_table(output)
    print(f"\n{markdown([row.record() for row in rows])}\n\n{path}")


def write_table(output: Path) -> None:
    """The table of all result files between the marks of `output/README.md`."""
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
