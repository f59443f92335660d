"""The look of all figures: colours and line styles of the methods, and the PNG of a figure.

A method has the same colour in all figures of a report. The name of the method selects the colour
from a palette for colour-blind readers (Okabe and Ito's, and three more), so the colour rarely
differs between reports. Several models or runs of a method have different line styles and markers.
"""

import io
import zlib
from collections.abc import Sequence

from matplotlib import rc_context
from matplotlib.figure import Figure
from PIL import Image

from minillm.reporting.groups import START, TEACHER, Group, order_methods, unique

DPI = 150
ROLE_COLORS = {TEACHER: "#000000", START: "#8C8C8C"}
COLORS = ("#E69F00", "#009E73", "#0072B2", "#CC79A7", "#6A3D9A", "#D55E00", "#004D40", "#B3A100",
           "#56B4E9")  # fmt: skip
DASHES = ("-", "--", "-.", ":")
MARKERS = ("o", "s", "^", "D")
LOOK = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#666666",
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.7,
    "xtick.color": "#444444",
    "ytick.color": "#444444",
    "legend.frameon": False,
}


def styles_of(groups: Sequence[Group]) -> dict[str, dict]:
    """Colour (by method), line style and marker of each label, in the order of the methods."""
    methods = order_methods(group.method for group in groups)
    colors = _colors(methods)
    styles = {}
    for method in methods:
        color, first_style = colors[method]
        labels = unique(group.label for group in groups if group.method == method)
        for i, label in enumerate(labels, start=first_style):
            styles[label] = {
                "color": color,
                "linestyle": DASHES[i % len(DASHES)],
                "marker": MARKERS[i % len(MARKERS)],
            }
    return styles


def _colors(methods: Sequence[str]) -> dict[str, tuple[str, int]]:
    """Colour of each method, and the number of its first line style.

    The checksum of a name selects the colour. If a name that is earlier in the alphabet has this
    colour, the next free colour is used. If all colours are in use, they are used again with the
    next line style.
    """
    colors = {role: (color, 0) for role, color in ROLE_COLORS.items()}
    free, first_style = set(range(len(COLORS))), 0
    for method in sorted(set(methods) - set(colors)):
        if not free:
            free, first_style = set(range(len(COLORS))), first_style + 1
        first = zlib.crc32(method.encode()) % len(COLORS)
        number = next(n % len(COLORS) for n in range(first, first + len(COLORS))
                      if n % len(COLORS) in free)  # fmt: skip
        free.remove(number)
        colors[method] = COLORS[number], first_style
    return colors


def legend_columns(labels: Sequence[str], width: float) -> int:
    """How many columns of a legend fit into a figure that is `width` inches wide."""
    column = 0.6 + 0.065 * max(map(len, labels))  # inches: line and gap, and a character
    return min(max(int(width / column), 1), len(labels))


def png_of(figure: Figure) -> bytes:
    """The figure as a PNG with a palette: a third of the size, and the same bytes each time."""
    full_png, content = io.BytesIO(), io.BytesIO()
    with rc_context(LOOK):  # some texts are made only now
        figure.savefig(full_png, format="png", dpi=DPI)
    image = Image.open(full_png).convert("RGB")
    # One step of k-means keeps full colours exact. Without it they are off by up to 13 of 255.
    look = {"method": Image.Quantize.MAXCOVERAGE, "kmeans": 1, "dither": Image.Dither.NONE}
    image.quantize(256, **look).save(content, format="png", optimize=True, dpi=(DPI, DPI))
    return content.getvalue()


def svg_of(figure: Figure) -> bytes:
    """The figure as an SVG, with the same bytes each time. Texts are outlines and need no font."""
    content = io.BytesIO()
    with rc_context(LOOK | {"svg.hashsalt": "minillm", "svg.fonttype": "path"}):
        figure.savefig(content, format="svg", metadata={"Date": None})
    return content.getvalue()
