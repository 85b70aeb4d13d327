"""The figures of a comparison as files."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.figures.alpha_figure import alpha_curve
from hybrid_retrieval.reporting.figures.bars import bias_bars
from hybrid_retrieval.reporting.figures.canvas import FULL, save
from hybrid_retrieval.reporting.figures.dots import language_dots
from hybrid_retrieval.reporting.figures.heat_figures import confusion_maps, heat_map_difference, heat_maps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "figures"
SUFFIXES = (".pdf", ".png")
FIGURES: "dict[str, Callable[[Comparison], Figure | None]]" = {
    "alpha_curve": alpha_curve,
    "alpha_curve_full_width": lambda comparison: alpha_curve(comparison, width=FULL),
    "heat_maps": heat_maps,
    "heat_map_difference": heat_map_difference,
    "confusion": confusion_maps,
    "bias_bars": bias_bars,
    "language_dots": language_dots,
}
"""Name of the file, and what draws it; None where the comparison has nothing of it."""


def write_figures(comparisons: Sequence[Comparison], folder: Path) -> list[Path]:
    """Write every figure as PDF and PNG, one folder a benchmark where there are several.

    Returns:
        The files, in their order.
    """
    written = []
    for comparison in comparisons:
        place = folder if len(comparisons) == 1 else folder / file_name(comparison.title)
        place.mkdir(parents=True, exist_ok=True)
        for name, of in FIGURES.items():
            figure = of(comparison)
            if figure is not None:
                written += [save(figure, place / f"{name}{suffix}") for suffix in SUFFIXES]
    return written


def file_name(text: str) -> str:
    """The text with nothing in it that a file's name may not have."""
    return "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in text)
