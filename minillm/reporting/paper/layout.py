"""A table as Markdown, csv and LaTeX.

A table has rows of plain values, which the csv holds, and columns, which show these values as text.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from tabulate import tabulate

from minillm.reporting.markdown import escape, table

Row = Mapping[str, str | float | None]
LATEX_HEAD = (
    "% Needs \\usepackage[utf8]{inputenc}\\usepackage{booktabs,longtable}\n"
    "% A wide table needs a landscape page: \\usepackage[a4paper,landscape,margin=1cm]{geometry}\n"
)


@dataclass(frozen=True)
class Column:
    """A shown column.

    Attributes:
        label: its heading.
        cell: the text of a row; empty if there is no value.
        is_text: whether it is aligned to the left.
        is_optional: whether the column is left out if all of its cells are empty.
    """

    label: str
    cell: Callable[[Row], str]
    is_text: bool = False
    is_optional: bool = False


@dataclass(frozen=True)
class Table:
    """A table with its caption. The keys of the rows are the columns of the csv."""

    name: str  # of its files, such as `table1`
    title: str
    caption: str
    columns: Sequence[Column]
    rows: Sequence[Row]


def text_column(name: str, label: str | None = None, words: Mapping[str, str] | None = None):
    """A column of texts; `words` replaces values such as names of data sets."""
    return Column(label or name, lambda row: (words or {}).get(row[name], row[name] or ""), True)


def number_column(name: str, label: str, form: str, is_optional: bool = False) -> Column:
    """A column of numbers, such as with the format `.1f`."""
    return Column(label, lambda row: _number(row.get(name), form), is_optional=is_optional)


def interval_column(
    low: str, high: str, label: str, form: str, is_optional: bool = False
) -> Column:
    """A column of intervals `[low, high]`."""

    def cell(row: Row) -> str:
        if row.get(low) is None or row.get(high) is None:
            return ""
        return f"[{row[low]:{form}}, {row[high]:{form}}]"

    return Column(label, cell, is_optional=is_optional)


def markdown_of(content: Table) -> str:
    """The table in Markdown, without its title, with the caption below it."""
    header, cells, texts = _cells(content)
    return f"{table(header, cells, texts)}\n\n{escape(content.caption)}"


def csv_of(rows: Sequence[Row]) -> str:
    """The values with all digits; an empty cell is a missing value."""
    text = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def latex_of(content: Table) -> str:
    """The table as a small `longtable` with the rules of booktabs and its caption, in one file.

    The headings are repeated on every page.
    """
    header, cells, texts = _cells(content)
    align = ["left"] * texts + ["right"] * (len(header) - texts)
    text = tabulate(cells, header, tablefmt="latex_booktabs", colalign=align, disable_numparse=True)
    begin, _, rest = text.replace("{tabular}", "{longtable}").partition("\n")
    headings, middle, body = rest.partition("\\midrule\n")
    headings += middle
    caption = _latex(f"{content.title}. {content.caption}")
    return (
        f"{LATEX_HEAD}\\begingroup\\scriptsize\\setlength{{\\tabcolsep}}{{3pt}}\n{begin}\n"
        f"\\caption{{{caption}}}\\label{{tab:{content.name}}}\\\\\n"
        f"{headings}\\endfirsthead\n{headings}\\endhead\n{body}\n\\endgroup\n"
    )


def _cells(content: Table) -> tuple[list[str], list[list[str]], int]:
    """Headings, cells, and the number of columns of text, which are the first ones."""
    cells = [[column.cell(row) for row in content.rows] for column in content.columns]
    shown = [
        (column, texts)
        for column, texts in zip(content.columns, cells, strict=True)
        if any(texts) or not column.is_optional
    ]
    rows = list(map(list, zip(*(texts for _, texts in shown), strict=True)))
    return [column.label for column, _ in shown], rows, sum(column.is_text for column, _ in shown)


def _number(value: str | float | None, form: str) -> str:
    return "" if value is None else format(value, form)


def _latex(text: str) -> str:
    """The text with escaped special characters; words in backticks are code."""
    special = {c: f"\\{c}" for c in "&%$#_{}"} | {
        "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}",
        "–": "--", "±": "$\\pm$",
    }  # fmt: skip
    escaped = "".join(special.get(character, character) for character in text)
    return re.sub("`([^`]+)`", r"\\texttt{\1}", escaped)


def in_sentences(parts: Iterable[str]) -> str:
    """The non-empty parts as sentences."""
    return " ".join(f"{part[:1].upper()}{part[1:]}." for part in parts if part)
