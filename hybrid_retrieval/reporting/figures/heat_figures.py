"""Heat maps of query language by document language at the size of a paper."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hybrid_retrieval.reporting.columns import metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.confusion_maps import confusion_of, cutoffs
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.figures.canvas import COLUMN, FULL, draw, plain
from hybrid_retrieval.reporting.focus import focus
from hybrid_retrieval.reporting.heat_map_section import compared
from hybrid_retrieval.reporting.heat_maps import difference, hundredths, pair_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Values = Mapping[tuple[str, str], float]
_LEAST_FILLED = 0.5


def heat_maps(comparison: Comparison, *, width: float = FULL) -> "Figure | None":
    """The metric of every language pair, for the strategies in focus, on one colour scale.

    Returns:
        None for a benchmark that has few of the pairs.
    """
    found = {e.label: pair_values(e, comparison.languages, comparison.metric) for e in focus(comparison)}
    return _row(comparison, found, f"{metric_name(comparison.metric)}", width)


def confusion_maps(comparison: Comparison, *, top: int = 10, width: float = FULL) -> "Figure | None":
    """Shares of the first candidates by language, for the strategies in focus.

    Args:
        comparison: whose experiments.
        top: how many candidates count; one of those that metrics.json has.
        width: in inches.

    Returns:
        None where the runs hold no confusion.
    """
    key = f"top@{top}"
    if key not in cutoffs(comparison):
        return None
    found = {e.label: confusion_of(e, key, comparison.languages) for e in focus(comparison)}
    return _row(comparison, found, f"share of the top {top}", width)


def heat_map_difference(
    comparison: Comparison,
    *,
    ours: Experiment | None = None,
    theirs: Experiment | None = None,
    width: float = COLUMN,
) -> "Figure | None":
    """What one experiment changes against another in every language pair, in hundredths of the metric.

    Args:
        comparison: whose experiments.
        ours: None for the contender (the best hybrid).
        theirs: None for the baseline.
        width: in inches.
    """
    chosen = compared(comparison)
    if chosen is None and (ours is None or theirs is None):
        return None
    first, second = ours or chosen[0], theirs or chosen[1]  # type: ignore[index]
    languages, metric = comparison.languages, comparison.metric
    changes = difference(*(pair_values(e, languages, metric) for e in (first, second)))
    if len(changes) < _LEAST_FILLED * len(languages) ** 2:
        return None
    matrix = _matrix(languages, changes)
    limit = float(np.nanmax(np.abs(matrix))) or 1.0

    def paint(figure: "Figure") -> None:
        axes = figure.subplots()
        image = axes.imshow(matrix, cmap="PuOr", vmin=-limit, vmax=limit)
        label_languages(axes, languages)
        axes.set_title(plain(f"{first.label} − {second.label}"))
        digits = 1 if limit < 0.1 else 0
        size = min(5.5, 60 / len(languages))
        for (row, column), v in np.ndenumerate(matrix):
            if np.isfinite(v):
                ink = "white" if abs(v) > 0.65 * limit else "black"
                text = hundredths(v, digits, signed=True)
                axes.text(column, row, text, ha="center", va="center", fontsize=size, color=ink)
        figure.colorbar(image, ax=axes, shrink=0.8, label=f"{metric_name(metric)} (violet: better)")

    return draw(width, width * 0.88, paint)


def _row(comparison: Comparison, found: Mapping[str, Values], label: str, width: float) -> "Figure | None":
    languages = comparison.languages
    shown = {k: v for k, v in found.items() if len(v) >= _LEAST_FILLED * len(languages) ** 2}
    if not shown:
        return None
    matrices = [_matrix(languages, values) for values in shown.values()]
    scale = {
        "vmin": min(float(np.nanmin(m)) for m in matrices),
        "vmax": max(float(np.nanmax(m)) for m in matrices),
    }

    def paint(figure: "Figure") -> None:
        grid = figure.subplots(1, len(shown), squeeze=False, sharey=True)[0]
        image: Any = None
        for axes, (name, matrix) in zip(grid, zip(shown, matrices, strict=True), strict=True):
            image = axes.imshow(matrix, cmap="cividis", **scale)
            label_languages(axes, languages)
            axes.set_title(plain(name))
        for axes in grid[1:]:
            axes.set_ylabel("")
        figure.colorbar(image, ax=list(grid), shrink=0.85, label=label, pad=0.01)

    return draw(width, width / len(shown) * 0.82 + 0.8, paint)


def _matrix(languages: Sequence[str], values: Values) -> np.ndarray:
    return np.array([[values.get((x, y), np.nan) for y in languages] for x in languages])


def label_languages(axes: "Axes", languages: Sequence[str]) -> None:
    """Language codes on both axes of a heat map of query language by document language."""
    places = range(len(languages))
    size = min(6.0, 75 / len(languages))
    axes.set_xticks(places, [plain(x) for x in languages], fontsize=size, rotation=90)
    axes.set_yticks(places, [plain(x) for x in languages], fontsize=size)
    axes.set_xlabel("document language")
    axes.set_ylabel("query language")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
