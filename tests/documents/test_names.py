"""Names in the documents: links, files, functions, settings, methods, divergences and metrics."""

import re
import shlex
from dataclasses import asdict
from functools import cache
from importlib import import_module
from itertools import takewhile
from pathlib import Path

import pytest

from minillm.arguments import settings_of_pruning
from minillm.compose import groups, load_config
from minillm.evaluation.metrics import METRICS
from minillm.judging.settings import PREFIX, judge_settings
from minillm.objectives.divergences import DIVERGENCES
from minillm.pruning.settings import pruning_settings
from minillm.settings.rules import dotted
from minillm.sweeps.settings import SweepConfig
from minillm.system2.settings import System2Config
from tests.documents.checking import refusal
from tests.documents.reading import (
    PAGES,
    README,
    ROOT,
    anchors,
    code_blocks,
    inline_code,
    links,
    table_rows,
)
from tests.documents.reading import name_of as name

DOCS = ROOT / "docs"
# Paths below these folders of the checkout are checked.
FOLDERS = "minillm|configs|scripts|tests|benchmarks|studies|docs"
# Settings that are accepted only beside one of these.
BESIDE = [[], ["data.path=FOLDER"], ["method=gkd"], ["method=minillm"],
          ["method=gkd", "teacher.kind=ensemble"], ["runtime.mixed_precision=bf16"],
          ["student.lora.rank=4"],
          ["method=gkd", "teacher.members=[{path: A}]"]]  # fmt: skip
PRICES = ["judge.price_input=1", "judge.price_output=1"]
every_page = pytest.mark.parametrize("page", PAGES, ids=name)


@every_page
def test_links_lead_to_files_and_headings(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), f"{name(page)} has a link to {target}, which does not exist"
        assert not anchor or anchor in anchors(file), f"{file} has no heading #{anchor}"


@every_page
def test_paths_exist(page):
    """Paths from the root of the checkout, and `folder/file.py: name` from minillm/."""
    code = "\n".join(inline_code(page) + code_blocks(page, "bash"))
    for path in re.findall(rf"(?<![\w/])(?:{FOLDERS})/[\w./-]*", code):
        assert (ROOT / path).exists(), f"{name(page)} names {path}, which does not exist"
    for path, attribute in re.findall(r"^(\w+/\w+)\.py(?:: (\w+))?$", code, re.M):
        if not (ROOT / f"{path}.py").is_file():
            module = import_module(f"minillm.{path.replace('/', '.')}")
            assert not attribute or hasattr(module, attribute), f"{path}.py has no {attribute}"


@every_page
def test_functions_of_the_objectives_exist(page):
    """Names such as `returns.whiten`, if there is a module minillm/objectives/returns.py."""
    for module, attribute in re.findall(r"^(\w+)\.([a-zA-Z]\w+)$", code_lines(page), re.M):
        if (ROOT / "minillm" / "objectives" / module).with_suffix(".py").exists():
            functions = import_module(f"minillm.objectives.{module}")
            assert hasattr(functions, attribute) or attribute == "py", f"{module}.{attribute}"


def code_lines(page: Path) -> str:
    return "\n".join(inline_code(page))


@every_page
def test_settings_are_accepted(page):
    """Each `key=value`. A single capital N is a number; other capitals are a name."""
    for setting in written_settings(page):
        key = setting.partition("=")[0]
        if key.partition(".")[0] == "sweep":
            name_in_sweep = key.removeprefix("sweep.").partition(".")[0]
            assert name_in_sweep in {"sweep", "KEY", *SweepConfig.__dataclass_fields__}
            continue
        if key.partition(".")[0] == "system2":
            name_in_task = key.removeprefix("system2.").partition(".")[0]
            assert name_in_task in {"system2", "KEY", *System2Config.__dataclass_fields__}
            continue
        if key in settings_of_pruning():
            pruning_settings([setting] if key == "keep" else ["layers=12", setting])
            continue
        if key.startswith(PREFIX):
            judge_settings([*PRICES, setting])
            continue
        messages = (refusal([*beside, setting.replace("=N", "=3")]) for beside in BESIDE)
        refusals = list(takewhile(bool, messages))
        assert len(refusals) < len(BESIDE), f"{name(page)}: {setting}: {refusals}"


def written_settings(page: Path) -> list[str]:
    """The settings in the prose of a page; those of commands are checked with the commands."""
    spans = [span for span in inline_code(page) if re.match(r"'?[a-z_]+(\.[a-z_]+)*=\S", span)]
    return [word for span in spans for word in shlex.split(span) if word != "key=value"]


@every_page
def test_keys_of_settings_exist(page):
    """Each `section.key` without a value, and each `section.*`."""
    keys = all_keys()
    sections = {key for key in keys if "." not in key}
    for span in inline_code(page):
        section, _, key = span.partition(".")
        is_key = re.fullmatch(r"[a-z_]+(\.[a-z_]+)*|\*", key) and section in sections
        if is_key and key not in ("py", "png"):
            assert key == "*" or span in keys, f"{name(page)}: there is no setting {span}"


@cache
def all_keys() -> set[str]:
    """The keys of all settings and sections, with any method."""
    configs = [asdict(load_config([f"method={method}"])) for method in ("gkd", "minillm")]
    return {key for config in configs for key in dotted(config)}


def first_cells(page: Path) -> set[str]:
    """The code between backticks in the first cells of all table rows of a page."""
    return {code for row in table_rows(page) for code in re.findall(r"`([^`]+)`", row[0])}


@pytest.mark.parametrize("page", [README, DOCS / "methods.md"], ids=name)
def test_the_tables_list_all_methods(page):
    methods = set(groups()["method"])
    named = {cell for cell in first_cells(page) if re.fullmatch("[a-z_]+", cell)}
    assert named - set(DIVERGENCES) == methods


def test_the_page_of_methods_lists_the_divergences():
    assert set(DIVERGENCES) <= first_cells(DOCS / "methods.md")


def test_the_map_of_the_code_lists_the_packages():
    packages = {f"minillm/{init.parent.name}" for init in ROOT.glob("minillm/*/__init__.py")}
    named = {cell for cell in first_cells(DOCS / "code.md") if cell.startswith("minillm/")}
    assert named == packages


def test_the_page_of_results_lists_the_metrics():
    page = DOCS / "results.md"
    # The table of metrics has four columns.
    cells = " ".join(row[0] for row in table_rows(page) if row[0][:1] == "`" and len(row) == 4)
    names = set(re.findall(r"`(\w+)`", cells)) | {"distinct_2", "distinct_3"}
    assert names == set(METRICS)  # the row of distinct n-grams names the first and the last
