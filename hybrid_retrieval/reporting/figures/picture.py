"""The comparison as a picture for a README: the metric by strategy, and rank distance."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

from hybrid_retrieval.reporting.columns import (
    RANK_DISTANCE_COLUMN,
    SETTING_WORDS,
    metric_name,
    value,
)
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.figures.canvas import plain, save
from hybrid_retrieval.reporting.palette import colour as colour_of
from hybrid_retrieval.reporting.statistics import summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import FigureBase

_MARKERS = {"monolingual": "o", "cross_lingual": "s", "multilingual": "D"}


def write_picture(comparisons: Sequence[Comparison], file: Path) -> None:
    """Write the picture as PNG, at 150 dots an inch, benchmark by benchmark; equal input, equal bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: PLC0415 - half a second to import
    from matplotlib.figure import Figure  # noqa: PLC0415

    heights = [max(2.6, 1.3 + _row_height(c) * len(c.experiments)) for c in comparisons]
    figure = Figure(figsize=(10, sum(heights)), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    parts = figure.subfigures(len(comparisons), 1, height_ratios=heights, squeeze=False)
    for comparison, part in zip(comparisons, parts[:, 0], strict=True):
        _draw(part, comparison)
    save(figure, file, dots=150)


def _draw(figure: "FigureBase", comparison: Comparison) -> None:
    """One benchmark: dots of the metric, and bars of rank distance where it is defined."""
    count = len(comparison.experiments)
    if RANK_DISTANCE_COLUMN in comparison.bias:
        left, right = figure.subplots(1, 2, width_ratios=[3, 2], sharey=True)
        _draw_rank_distance(right, comparison)
    else:
        left = figure.subplots(1, 1)
    _draw_metric(left, comparison)
    left.set_yticks(range(count), [_wrapped(e.label) for e in comparison.experiments])
    left.set_ylim(count - 0.45, -0.55)
    languages = len(comparison.languages)
    title = f"{plain(comparison.title)}, {languages} language{'s'[: languages - 1]}"
    if any(len(e.runs) > 1 for e in comparison.experiments):
        title += "; mean ± standard deviation over seeds"
    figure.suptitle(title, fontsize=11)


def _draw_metric(axes: "Axes", comparison: Comparison) -> None:
    for row, e in enumerate(comparison.experiments):
        colour = colour_of(comparison, e)
        for column in comparison.main:
            found = summary(e, column)
            if found is not None:
                style: dict[str, Any] = {"color": colour, "marker": _MARKERS[column.setting], "markersize": 7}
                axes.errorbar(found.mean, row, xerr=found.std or None, capsize=3, linestyle="none", **style)
                axes.annotate(
                    f"{found.mean:.3f}", (found.mean, row), xytext=(0, 7), textcoords="offset points",
                    ha="center", fontsize=7.5, color="#333333",
                )  # fmt: skip
    for column in comparison.main:
        label, marker = SETTING_WORDS[column.setting], _MARKERS[column.setting]
        axes.plot([], [], color="#333333", marker=marker, linestyle="none", label=label)
    axes.set_xlabel(f"{metric_name(comparison.metric)} (higher is better)")
    axes.margins(x=0.08)
    axes.grid(axis="x", color="#dddddd", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, frameon=False, fontsize=8.5)
    _clean(axes)


def _draw_rank_distance(axes: "Axes", comparison: Comparison) -> None:
    for row, e in enumerate(comparison.experiments):
        found = summary(e, RANK_DISTANCE_COLUMN)
        if found is None:
            continue
        colour = colour_of(comparison, e)
        axes.barh(row, found.mean, height=0.55, xerr=found.std or None, color=colour, capsize=3)
        points = [v for run in e.runs if (v := value(run, RANK_DISTANCE_COLUMN)) is not None]
        axes.annotate(
            f"{found.mean:,.0f}", (max(points), row), xytext=(6, 0), textcoords="offset points", va="center",
            fontsize=8,
        )  # fmt: skip
    axes.set_xlabel("rank distance (lower is better)")
    axes.margins(x=0.14)
    axes.set_xlim(left=0)
    axes.tick_params(axis="y", length=0)
    _clean(axes)


def _clean(axes: "Axes") -> None:
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _row_height(comparison: Comparison) -> float:
    """Inches of a row that has room for the longest label."""
    lines = max(_wrapped(e.label).count("\n") + 1 for e in comparison.experiments)
    return max(0.42, 0.18 * lines + 0.06)


def _wrapped(label: str) -> str:
    return fill(plain(label), 26, break_long_words=False)
