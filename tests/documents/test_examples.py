"""Code, tables and conclusions in the documents agree with the code."""

import inspect
import re
from dataclasses import fields

import pytest
import yaml

from minillm.config import DataConfig
from minillm.data.documents import read_documents
from minillm.data.loaders import load_records
from minillm.evaluation.metrics import ExactMatch
from minillm.objectives.divergences import JSD
from minillm.objectives.minillm import VARIANTS, Settings
from studies.estimator_quality import study
from tests.documents.reading import ROOT, code_blocks, table_rows

DOCS = ROOT / "docs"
ROWS = code_blocks(DOCS / "data.md", "json")
PLAIN_TEXT = next(rows for rows in ROWS if rows.startswith('{"text"') and '"label"' not in rows)
LABELLED = next(rows for rows in ROWS if '"label"' in rows)


INPUTS = (("plain", 2), ("ready", 1), ("chat", 4), ("plain", 1))


@pytest.mark.parametrize(
    ("rows", "expected"),
    list(zip([x for x in ROWS if x not in (PLAIN_TEXT, LABELLED)], INPUTS, strict=True)),
)
def test_the_rows_of_the_page_of_data_can_be_read(rows, expected, tmp_path):
    """The conversations have 2, 1 and 1 responses, and two of their prompts are equal."""
    (tmp_path / "rows.jsonl").write_text(rows)
    template, inputs = expected
    config = DataConfig(kind="files", path=str(tmp_path / "rows.jsonl"), template=template)
    assert len(load_records(config, {"test"})["test"]) == inputs


def test_the_example_of_labels_can_be_read(tmp_path):
    (tmp_path / "rows.jsonl").write_text(LABELLED)
    (settings,) = (text for text in code_blocks(DOCS / "data.md", "yaml") if "labels:" in text)
    config = DataConfig(path=str(tmp_path / "rows.jsonl"), kind="files",
                        **yaml.safe_load(settings)["data"])  # fmt: skip
    good, bad = load_records(config, {"test"})["test"]
    assert good.references == ("positive",) and bad.references == ("negative",)
    assert good.input == "a gripping film" and good.instruction.startswith("Is the sentiment")


def test_the_example_of_plain_text_can_be_read(tmp_path):
    (tmp_path / "rows.jsonl").write_text(PLAIN_TEXT)
    (document,) = read_documents(tmp_path / "rows.jsonl").texts
    assert document == "The first line of a document.\nThe second line."


def test_the_table_of_variants_has_the_settings_of_the_code():
    rows = table_rows(DOCS / "objective.md")
    written = {row[0].strip("`"): row[1:3] for row in rows}
    for field in fields(Settings):
        values = [str(getattr(VARIANTS[name], field.name)) for name in ("paper", "official")]
        assert written[field.name] == values


def test_the_conclusions_of_the_study_of_estimators():
    """Smaller models than in the document give the same order of biases and exact estimators."""
    results, kl, tokens = study(vocab=3, length=4, alpha=0.5)
    assert kl > 0.05 and tokens > 2
    for name in list(results)[:3]:
        assert results[name].bias < 1e-10 and results[name].cosine > 1 - 1e-10
    product, previous = results["product"], results["product, single-step term by w_{t-1}"]
    assert previous.noise < product.noise < results["product, no single-step term (eq. 2)"].noise
    per_step = results["per_step"]
    not_weighted = results["product of eq. 5, rewards ahead not weighted"]
    assert 0.7 * per_step.bias < not_weighted.bias < per_step.bias
    normalised = results["per_step, length-normalised"]
    assert normalised.bias > per_step.bias and normalised.noise < per_step.noise
    truncated = [results[f"truncated_product, bound {bound}"] for bound in (1, 2)]
    assert truncated[0].bias > truncated[1].bias
    assert truncated[0].noise < truncated[1].noise <= product.noise + 1e-9


def test_the_objectives_import_no_other_part_of_the_project():
    files = list((ROOT / "minillm" / "objectives").rglob("*.py"))
    assert len(files) > 10
    for file in files:
        imported = re.findall(r"(?:from|import) (minillm\S*)", file.read_text(encoding="utf-8"))
        assert all(name.startswith("minillm.objectives") for name in imported), file


def test_the_examples_of_adding_a_method_are_the_code():
    page = DOCS / "adding_a_method.md"
    assert code_blocks(page, "python") == [inspect.getsource(JSD)]
    preset = (ROOT / "configs" / "method" / "gkd.yaml").read_text(encoding="utf-8")
    assert code_blocks(page, "yaml") == [preset]


def test_the_example_of_a_metric_is_the_code():
    assert code_blocks(DOCS / "results.md", "python") == [inspect.getsource(ExactMatch)]
