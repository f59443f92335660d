"""The figures of the paper in docs/reproduce.md are those of results/paper/table1.csv."""

import csv
import re
from pathlib import Path

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
