"""The families of docs/models.md are read, or refused, as the page says."""

import re

import pytest
import transformers

from studies import model_families
from studies.model_families import DOCUMENT, Row, families_table, try_family
from studies.tiny_families import families
from tests.documents.reading import table_rows

PAGE = {row[0]: row for row in table_rows(DOCUMENT) if row[0].startswith("`")}
VERSION = re.search(r"transformers ([\d.]+),", DOCUMENT.read_text("utf-8"))[1]
SAME_VERSION = pytest.mark.skipif(
    transformers.__version__ != VERSION, reason=f"the page is for transformers {VERSION}"
)
# Learned positions, ALiBi, a sliding window, experts, a config of several parts, latent attention,
# soft-capped and scaled logits, attention and MLP side by side, shared keys, a recurrent state, and
# positions that count padding.
QUICK = ["gpt2", "bloom", "mistral", "mixtral", "gemma3", "deepseek_v3", "gemma2", "cohere", "gptj",
         "gemma3n_text", "mamba", "bart"]  # fmt: skip


def cells(row: Row) -> list[str]:
    line = families_table([row]).splitlines()[-1]
    return [cell.strip() for cell in line.split("|")[1:-1]]


@SAME_VERSION
@pytest.mark.parametrize("family", QUICK)
def test_a_family_is_read_or_refused_as_the_page_says(family):
    row = try_family(family)
    assert row.result in ("passes", "refused")
    assert cells(row) == PAGE[f"`{family}`"]


@pytest.mark.slow
@SAME_VERSION
@pytest.mark.timeout(3600)
def test_all_families_are_as_the_page_says():
    assert len(PAGE) >= 60
    assert [cells(try_family(family)) for family in families()] == list(PAGE.values())


def test_a_family_that_is_read_wrongly_is_reported(monkeypatch):
    """BART counts padding as positions. Without the check, its rows differ."""
    monkeypatch.setattr(model_families, "check_model", lambda _: None)
    row = try_family("bart")
    assert row.result == "wrong" and "sampling is off by" in row.remark
