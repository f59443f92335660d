"""One self-contained HTML file of a report. It opens without a server and asks for nothing else."""

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt


def html_page(
    title: str,
    tables: str,
    figures: Mapping[str, bytes],
    provenance: str,
    samples: Mapping[str, Sequence[Mapping[str, Any]]],
) -> str:
    """The page as text.

    Args:
        title: heading, plain text.
        tables: the tables of the report, in Markdown. HTML in it is shown as text.
        figures: names of the figures and their PNGs.
        provenance: how the results were made, in Markdown.
        samples: see `collect_samples`; without samples, the page has no sample browser.
    """
    return _template().render(
        title=title,
        tables=_html(tables),
        figures={
            name.removesuffix(".png").replace("_", " "): base64.b64encode(content).decode()
            for name, content in figures.items()
        },
        provenance=_html(provenance),
        samples=samples,
        methods={name: _methods(inputs) for name, inputs in samples.items()},
        style=_part("page.css"),
        script=_part("page.js"),
    )


def _methods(inputs: Sequence[Mapping[str, Any]]) -> list[str]:
    """The methods of a data set, in the order of their first response."""
    return list(dict.fromkeys(method for one in inputs for method in one["responses"]))


def _html(markdown: str) -> str:
    rendered = MarkdownIt("commonmark", {"html": False}).enable("table").render(markdown)
    # A wide table scrolls in its own frame, which the keyboard can reach, too.
    frame = '<div class="scroll" tabindex="0" role="region" aria-label="table">'
    return rendered.replace("<table>", f"{frame}<table>").replace("</table>", "</table></div>")


@cache
def _template() -> Any:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True,
                              lstrip_blocks=True)  # fmt: skip
    return environment.from_string(_part("page.html"))


def _part(name: str) -> str:
    return (files(__package__) / name).read_text(encoding="utf-8")
