"""Query language by document language: one map an experiment, and one of the difference between any two."""

from collections.abc import Mapping
from html import escape

from hybrid_retrieval.reporting.columns import metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.focus import baseline_of, contender
from hybrid_retrieval.reporting.heat_maps import Values, difference, difference_map, heat_map, pair_values
from hybrid_retrieval.reporting.panels import panel_grid

_LEAST_FILLED = 0.5
_EXPLAINED = (
    "Queries of one language against the candidates of one language; the framed diagonal is the monolingual "
    "setting. Hold the pointer over a cell for the exact value."
)


def heat_maps(comparison: Comparison) -> str:
    """The maps on one colour scale; "" for a benchmark that has few of the pairs."""
    languages, metric = comparison.languages, comparison.metric
    values = {e.label: pair_values(e, languages, metric) for e in comparison.experiments}
    everything = [v for found in values.values() for v in found.values()]
    if len(everything) < _LEAST_FILLED * len(comparison.experiments) * len(languages) ** 2:
        return ""
    low, high = min(everything), max(everything)
    note = f"{metric_name(metric)} × 100, from {low * 100:.0f} (dark) to {high * 100:.0f} (light)"
    panels = [
        heat_map(
            label, note, languages, found, (low, high), data=f' data-pairs="{escape(label, quote=True)}"'
        )
        for label, found in values.items()
    ]
    return (
        _difference(comparison, values)
        + "<h3>Every strategy</h3>\n"
        + panel_grid(panels)
        + f"<p class='note-box'>{_EXPLAINED}</p>\n"
    )


def compared(comparison: Comparison) -> tuple[Experiment, Experiment] | None:
    """The two experiments whose difference is shown at first: the contender and the baseline."""
    theirs, ours = baseline_of(comparison), contender(comparison)[0]
    others = [e for e in comparison.trained if theirs is None or e.label != theirs.label]
    if theirs is None or not others:
        return None
    return (ours if ours is not None and ours.label != theirs.label else others[0]), theirs


def _difference(comparison: Comparison, values: Mapping[str, Values]) -> str:
    pair = compared(comparison)
    if pair is None:
        return ""
    ours, theirs = (e.label for e in pair)
    changes = difference(values[ours], values[theirs])
    limit = max((abs(v) for v in changes.values()), default=0.0)
    note = f"{metric_name(comparison.metric)} × 100; blue is better, orange worse"
    panel = difference_map(f"{ours} − {theirs}", note, comparison.languages, changes, limit)
    return (
        f"<h3>Difference between two strategies</h3>\n"
        f'<div class="difference" data-ours="{escape(ours, quote=True)}" '
        f'data-theirs="{escape(theirs, quote=True)}">\n<div class="wide">{panel}</div></div>\n'
    )
