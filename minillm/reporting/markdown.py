"""Markdown tables, written by `tabulate`."""

from collections.abc import Iterable, Sequence

from tabulate import tabulate

NOTHING = "–"  # a cell without a value


def table(header: Sequence[str], rows: Sequence[Sequence[str]], texts: int) -> str:
    """A Markdown table whose source is aligned too.

    Args:
        header: the names of the columns.
        rows: the cells of each row.
        texts: the first `texts` columns are aligned to the left, the others to the right.
    """
    columns = ["left"] * texts + ["right"] * (len(header) - texts)
    return tabulate(
        [[escape(cell) for cell in row] for row in rows],
        [escape(cell) for cell in header],
        tablefmt="pipe",
        colalign=columns,
        disable_numparse=True,
    )


def escape(text: str) -> str:
    """Text on one line that ends no table cell."""
    return " ".join(text.split()).replace("|", "\\|")


def in_words(texts: Iterable[str]) -> str:
    """`A`, `A and B`, or `A, B and C`."""
    *first, last = texts
    return f"{', '.join(first)} and {last}" if first else last
