"""Bars of the measures of language bias at the size of a paper."""

from textwrap import fill
from typing import TYPE_CHECKING

from hybrid_retrieval.reporting.columns import Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.figures.canvas import COLUMN, FULL, draw, plain
from hybrid_retrieval.reporting.palette import colour
from hybrid_retrieval.reporting.statistics import summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_ARROWS = {True: " ↑", False: " ↓", None: ""}


def bias_bars(comparison: Comparison, *, width: float = COLUMN) -> "Figure | None":
    """One panel of bars a measure, with whiskers of one standard deviation over seeds.

    Returns:
        None where no language bias was measured.
    """
    columns = comparison.bias_table
    if not columns:
        return None
    across = min(len(columns), 3 if width >= FULL else 2)
    down = -(-len(columns) // across)

    def paint(figure: "Figure") -> None:
        grid = figure.subplots(down, across, squeeze=False, sharey=True).ravel()
        for axes, column in zip(grid, columns, strict=False):
            _panel(axes, comparison, column)
        for axes in grid[len(columns) :]:
            axes.set_visible(False)
        places = range(len(comparison.experiments))
        grid[0].set_yticks(places, [fill(plain(e.label), 20) for e in comparison.experiments])
        grid[0].set_ylim(len(comparison.experiments) - 0.5, -0.5)

    return draw(width, down * (0.5 + 0.13 * len(comparison.experiments)) + 0.1, paint)


def _panel(axes: "Axes", comparison: Comparison, column: Column) -> None:
    for row, e in enumerate(comparison.experiments):
        found = summary(e, column)
        if found is not None:
            error = {"elinewidth": 0.8}
            axes.barh(
                row,
                found.mean,
                height=0.7,
                xerr=found.std or None,
                color=colour(comparison, e),
                error_kw=error,
            )
    axes.set_title(fill(f"{plain(column.title)}{_ARROWS[column.higher_is_better]}", 18), fontsize=6.5)
    axes.axvline(0, color="#444444", linewidth=0.6)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
