"""Dots with confidence intervals, language by language, at the size of a paper."""

from typing import TYPE_CHECKING

from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, SETTING_WORDS, Column, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.figures.canvas import FULL, draw, legend_below, plain
from hybrid_retrieval.reporting.focus import focus
from hybrid_retrieval.reporting.intervals import Interval, Key, Tables
from hybrid_retrieval.reporting.language_names import language_name
from hybrid_retrieval.reporting.languages import in_order, language_mark
from hybrid_retrieval.reporting.palette import colour

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SPREAD = 0.5


def language_dots(comparison: Comparison, *, width: float = FULL) -> "Figure | None":
    """The strategies in focus by language of the query, with 95 % bootstrap intervals over questions.

    Languages that were never trained on stand below a line.

    Returns:
        None for a benchmark in one language.
    """
    if len(comparison.languages) < 2:
        return None
    tables, order = Tables(comparison), in_order(comparison)
    intervals = {code: tables.of_language(code) for code, _ in order}

    def paint(figure: "Figure") -> None:
        grid = figure.subplots(1, len(tables.columns), squeeze=False, sharey=True)[0]
        for axes, column in zip(grid, tables.columns, strict=True):
            _panel(axes, comparison, column, intervals)
        names = [f"{plain(language_name(code))} ({plain(code)})" for code, _ in order]
        grid[0].set_yticks(range(len(order)), names)
        grid[0].set_ylim(len(order) - 0.4, -0.6)
        legend_below(figure, grid[0], len(focus(comparison)))

    return draw(width, 0.75 + 0.17 * len(order), paint)


def _panel(
    axes: "Axes", comparison: Comparison, column: Column, intervals: dict[str, dict[Key, Interval]]
) -> None:
    shown, order = focus(comparison), in_order(comparison)
    for place, e in enumerate(shown):
        shift = _SPREAD * (place / max(len(shown) - 1, 1) - 0.5) if len(shown) > 1 else 0.0
        found = [
            (row + shift, mark.mean, intervals[code].get((e.label, column)))
            for row, (code, _) in enumerate(order)
            if (mark := language_mark(comparison, e, code, column)).mean is not None
        ]
        low = [0.0 if i is None else i.mean - i.low for _, _, i in found]
        high = [0.0 if i is None else i.high - i.mean for _, _, i in found]
        axes.errorbar(
            [mean for _, mean, _ in found], [y for y, _, _ in found], xerr=[low, high], marker="o",
            color=colour(comparison, e), markersize=2.4, elinewidth=0.7, linestyle="none",
            label=plain(e.label),
        )  # fmt: skip
    unseen = [row for row, (_, section) in enumerate(order) if section.startswith("never")]
    if unseen and unseen[0]:
        axes.axhline(unseen[0] - 0.5, color="#888888", linewidth=0.6, linestyle="--")
    if column == RANK_DISTANCE_COLUMN:
        axes.set_title("Rank distance ↓")
    else:
        axes.set_title(f"{SETTING_WORDS[column.setting].capitalize()} {metric_name(column.metric)} ↑")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
