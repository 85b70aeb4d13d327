"""The alpha curve at the size of a paper."""

from typing import TYPE_CHECKING

from hybrid_retrieval.reporting.alpha import AlphaSweep, alpha_sweeps
from hybrid_retrieval.reporting.alpha_charts import alpha_columns
from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, SETTING_WORDS, Column, metric_name, value
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.figures.canvas import COLUMN, FULL, draw, legend_below, plain
from hybrid_retrieval.reporting.palette import colour
from hybrid_retrieval.reporting.statistics import summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MARKERS = {"x_y": "s", "x_x_mono": "D"}


def alpha_curve(comparison: Comparison, *, width: float = COLUMN) -> "Figure | None":
    """Every setting and the rank distance against alpha: means, seeds, and a band of one standard deviation.

    Args:
        comparison: with hybrid experiments at several alphas; the first sweep is drawn.
        width: in inches; panels stand in one row from `FULL` on, else two by two.

    Returns:
        None where fewer than three values of alpha can be drawn.
    """
    sweeps = alpha_sweeps(comparison)
    if not sweeps:
        return None
    columns = alpha_columns(comparison)
    across = len(columns) if width >= FULL else min(2, len(columns))
    down = -(-len(columns) // across)

    def paint(figure: "Figure") -> None:
        grid = figure.subplots(down, across, squeeze=False, sharex=True).ravel()
        for axes, column in zip(grid, columns, strict=False):
            _panel(axes, comparison, sweeps[0], column)
        for axes in grid[len(columns) :]:
            axes.set_visible(False)
        for axes in grid[max(len(columns) - across, 0) : len(columns)]:
            axes.tick_params(labelbottom=True)
            axes.set_xlabel(r"$\alpha$ (monolingual batches)")
        legend_below(figure, grid[0], 4 if width >= FULL else 2)

    return draw(width, down * 1.2 + 0.5, paint)


def _panel(axes: "Axes", comparison: Comparison, sweep: AlphaSweep, column: Column) -> None:
    found = [(a, e, s) for a, e in sweep.curve if (s := summary(e, column)) is not None]
    alphas, means = [a for a, _, _ in found], [s.mean for _, _, s in found]
    axes.plot(alphas, means, color="#444444", marker="o", markersize=3, label="hybrid")
    if any(s.std for _, _, s in found):
        low = [s.mean - (s.std or 0) for _, _, s in found]
        high = [s.mean + (s.std or 0) for _, _, s in found]
        axes.fill_between(
            alphas, low, high, color="#444444", alpha=0.18, linewidth=0, label="± one std over seeds"
        )
    for alpha, e, _ in found:
        seeds = [v for run in e.runs if (v := value(run, column)) is not None]
        if len(seeds) > 1:
            axes.plot([alpha] * len(seeds), seeds, ".", color="#444444", markersize=1.5)
    for alpha, e in sweep.ends:
        end = summary(e, column)
        if end is not None:
            axes.errorbar(
                alpha, end.mean, yerr=end.std or None, label=plain(e.strategy), linestyle="none",
                elinewidth=0.8, color=colour(comparison, e), marker=_MARKERS[e.strategy], markersize=4,
            )  # fmt: skip
    if column == RANK_DISTANCE_COLUMN:
        axes.set_title("Rank distance ↓")
    else:
        axes.set_title(f"{SETTING_WORDS[column.setting].capitalize()} {metric_name(column.metric)} ↑")
    axes.grid(axis="y")
    axes.set_xticks(sorted({0.0, 1.0, *alphas}) if len(alphas) <= 7 else [0, 0.25, 0.5, 0.75, 1])
    axes.xaxis.set_major_formatter("{x:g}")
