"""Size, type and files of the figures for papers."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hybrid_retrieval.atomic_file import atomic_file

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN, FULL = 3.3, 6.9
"""Widths in inches: one column of a two-column page, and the whole page."""
DOTS = 300
"""Resolution of the PNG files, in dots an inch."""
_STYLE: dict[str, Any] = {
    "font.size": 7, "axes.titlesize": 7, "axes.labelsize": 7, "xtick.labelsize": 6, "ytick.labelsize": 6,
    "legend.fontsize": 6, "axes.linewidth": 0.6, "xtick.major.width": 0.6, "ytick.major.width": 0.6,
    "xtick.major.size": 2, "ytick.major.size": 2, "lines.linewidth": 1.0, "grid.linewidth": 0.4,
    "grid.color": "#dddddd", "axes.grid": False, "axes.axisbelow": True, "axes.spines.top": False,
    "axes.spines.right": False, "pdf.fonttype": 42, "svg.fonttype": "none", "legend.frameon": False,
    "figure.facecolor": "white", "figure.dpi": 150,
}  # fmt: skip


def draw(width: float, height: float, paint: "Callable[[Figure], None]") -> "Figure":
    """A figure of a size in inches, in the style of papers; `paint` fills it."""
    from matplotlib import rc_context  # noqa: PLC0415 - half a second to import
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415
    from matplotlib.figure import Figure  # noqa: PLC0415

    with rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasAgg(figure)
        paint(figure)
        figure.canvas.draw()
        figure.set_layout_engine("none")  # the layout is found: not again for every file
    return figure


def save(figure: "Figure", file: Path, *, dots: int = DOTS) -> Path:
    """Write a figure as its file's suffix says (.png or .pdf, fonts embedded); equal input, equal bytes."""
    from matplotlib import rc_context  # noqa: PLC0415

    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells every table of a font that it cuts
    nothing = {"Software": None} if file.suffix == ".png" else {"CreationDate": None, "Producer": None}
    with atomic_file(file) as new, rc_context(_STYLE):
        figure.savefig(new, format=file.suffix[1:], dpi=dots, metadata=nothing)
    return file


def legend_below(figure: "Figure", axes: "Axes", columns: int) -> None:
    """The legend of one of the axes, under all of them."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, handletextpad=0.3)


def plain(text: str) -> str:
    """Dollar signs as such, rather than as the bounds of a formula."""
    return text.replace("$", r"\$")
