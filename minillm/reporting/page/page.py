"""One self-contained HTML file of a report. It opens without a server and asks for nothing else."""

import base64
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined
from markdown_it import MarkdownIt
from PIL import Image

from minillm.reporting.look import DPI

_PIXELS_PER_INCH = 96  # of CSS


@dataclass(frozen=True)
class Part:
    """A table or a figure of the page.

    Attributes:
        name: the name of its link, such as `table1`.
        title: plain text.
        text: Markdown: a table with its legend, or the caption of a figure. HTML is shown as text.
        png: the figure; None for a table.
    """

    name: str
    title: str
    text: str
    png: bytes | None = None


def html_page(
    title: str,
    tables: Sequence[Part],
    figures: Sequence[Part],
    provenance: str,
    samples: Mapping[str, Sequence[Mapping[str, Any]]],
) -> str:
    """The page as text.

    Args:
        title: heading, plain text.
        tables: the tables in their order.
        figures: the figures in their order.
        provenance: how the results were made, in Markdown.
        samples: see `collect_samples`; without samples, the page has no sample browser.
    """
    return _template().render(
        title=title,
        tables=[_shown(part) for part in tables],
        figures=[_shown(part) for part in figures],
        provenance=_html(provenance),
        samples=samples,
        methods={name: _methods(inputs) for name, inputs in samples.items()},
        style=_part("page.css"),
        script=_part("page.js"),
    )


def _shown(part: Part) -> dict[str, Any]:
    """The values of the template for a part. A figure has its size on a screen, in CSS pixels."""
    shown = {"name": part.name, "title": part.title, "text": _html(part.text)}
    if part.png is not None:
        shown["png"] = base64.b64encode(part.png).decode()
        shown["width"] = round(Image.open(io.BytesIO(part.png)).width * _PIXELS_PER_INCH / DPI)
    return shown


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
