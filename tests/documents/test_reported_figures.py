"""The figures of results/paper: those of docs/reproduce.md, and models that the scripts train."""

import csv
import re
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
DATA = ("dolly", "self_inst", "vicuna", "sinst", "uinst")


def test_the_page_gives_the_reported_rouge_l():
    with (ROOT / "results/paper/table1.csv").open(newline="") as file:
        reported = {
            (f"{row['family']} {row['size']}", row["method"], row["data"]): row["value"]
            for row in csv.DictReader(file)
            if row["measure"] == "rougeL"
        }
    shown = {}
    for line in (ROOT / "docs/reproduce.md").read_text().splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 4 + len(DATA) and re.match(r"`scripts/", cells[2]):
            values = zip(DATA, cells[4:], strict=True)
            shown |= {(cells[0], cells[1], data): x for data, x in values if x}
    assert shown == reported


def test_the_models_of_the_paper_have_the_names_of_the_scripts():
    """A result finds its reported figure by the family and size that its run records."""
    trained = set()
    for file in (ROOT / "configs/family").glob("*/*.yaml"):
        student = yaml.safe_load(file.read_text())["student"]
        assert student["size"] == file.stem
        trained.add((student["family"], student["size"]))
    for file in (ROOT / "results/paper").glob("*.csv"):
        with file.open(newline="") as lines:
            assert {(row["family"], row["size"]) for row in csv.DictReader(lines)} <= trained
