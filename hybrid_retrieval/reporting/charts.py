"""The charts of the report: which numbers go into which panel."""

import math
from collections.abc import Mapping, Sequence
from html import escape

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.heat_maps import difference, difference_map, heat_map, pair_values
from hybrid_retrieval.reporting.language_names import language_name
from hybrid_retrieval.reporting.runs import SETTINGS, STRATEGY_ORDER, Run
from hybrid_retrieval.reporting.statistics import (
    RANK_DISTANCE,
    RANK_DISTANCE_COLUMN,
    SETTING_WORDS,
    Column,
    metric_name,
    summarise,
    summary,
    value,
)
from hybrid_retrieval.reporting.svg import Line, Mark, bar_panel, dot_panel, line_panel, row_panel
from hybrid_retrieval.reporting.training_curves import CURVES, Curve, thinned

Training = Mapping[Run, Mapping[str, Curve]]
"""What each trained run logged: columns of train_metrics.csv."""

_VARIANTS = 6


def style(comparison: Comparison, experiment: Experiment) -> str:
    """CSS classes: one colour a strategy, and a variant for each further experiment of the same strategy."""
    same = [e.label for e in comparison.experiments if e.strategy == experiment.strategy]
    name = experiment.strategy if experiment.strategy in STRATEGY_ORDER else "other"
    return f"s-{name} v{same.index(experiment.label) % _VARIANTS}"


def legend(comparison: Comparison, experiments: Sequence[Experiment]) -> str:
    """Colour swatches with the experiments' names."""
    items = [
        f'<li class="{style(comparison, e)}"><span class="swatch"></span>{escape(e.label)}</li>'
        for e in experiments
    ]
    return f'<ul class="legend">{"".join(items)}</ul>\n'


def setting_panels(comparison: Comparison) -> str:
    """The metric by strategy, one panel a setting."""
    panels = []
    for setting in SETTINGS:
        column = Column(setting, comparison.metric)
        marks = [_mark(comparison, e, column) for e in comparison.experiments]
        title = f"{SETTING_WORDS[setting].capitalize()} {metric_name(comparison.metric)}"
        panels.append(dot_panel(title, "higher is better; axis does not start at 0", marks, column.digits))
    return panel_grid(panels)


def rank_distance_panel(comparison: Comparison) -> str:
    """Rank distance by strategy."""
    marks = [_mark(comparison, e, RANK_DISTANCE_COLUMN) for e in comparison.experiments]
    return panel_grid([bar_panel("Rank distance", "in ranks; lower is better", marks, 1)])


def language_panels(comparison: Comparison) -> str:
    """Every language with a dot for each experiment, trained languages before the others."""
    trained = {language for e in comparison.trained for language in e.train_languages}
    ordered = sorted(comparison.languages, key=lambda code: (code not in trained, language_name(code)))
    panels = []
    columns = [Column(setting, comparison.metric) for setting in SETTINGS] + [RANK_DISTANCE_COLUMN]
    for column in columns:
        rows = [
            (
                language_name(language),
                language in trained,
                [_language_mark(comparison, e, language, column) for e in comparison.experiments],
            )
            for language in ordered
        ]
        if column == RANK_DISTANCE_COLUMN:
            title, note = "Rank distance by language of the query", "in ranks; lower is better"
        else:
            title = (
                f"{SETTING_WORDS[column.setting].capitalize()} {metric_name(comparison.metric)} by language"
            )
            note = "higher is better; axis does not start at 0"
        panels.append(row_panel(title, note, rows, column.digits))
    return panel_grid(panels)


def heat_map_panels(comparison: Comparison, baseline: Experiment | None) -> str:
    """Query language by document language for every experiment, on one colour scale."""
    languages = comparison.languages
    values = {e.label: pair_values(e, languages, comparison.metric) for e in comparison.experiments}
    everything = [v for found in values.values() for v in found.values()]
    if not everything:
        return ""
    low, high = min(everything), max(everything)
    note = f"{metric_name(comparison.metric)} × 100, from {low * 100:.0f} (dark) to {high * 100:.0f} (light)"
    panels = [heat_map(label, note, languages, found, (low, high)) for label, found in values.items()]
    page = panel_grid(panels)
    if baseline is not None:
        changes = {
            e.label: difference(values[e.label], values[baseline.label])
            for e in comparison.experiments
            if e.strategy not in {"untrained", baseline.strategy}
        }
        limit = max((abs(v) for found in changes.values() for v in found.values()), default=0.0)
        if changes:
            told = f"{metric_name(comparison.metric)} × 100, difference; blue is better, orange worse"
            page += f"<h3>Differences to {escape(baseline.label)}</h3>" + panel_grid(
                [
                    difference_map(f"{k} − {baseline.label}", told, languages, v, limit)
                    for k, v in changes.items()
                ]
            )
    return page


def curve_panels(comparison: Comparison, training: Training) -> str:
    """Loss and validation metrics over steps, one line a run."""
    panels = []
    for name, (title, note) in CURVES.items():
        lines, averaged = [], False
        for e in comparison.experiments:
            for run in e.runs:
                curve = training.get(run, {}).get(name)
                if curve is not None:
                    thin = thinned(curve)
                    averaged |= len(thin[0]) < len(curve[0])
                    lines.append(Line(f"{e.label}, seed {run.seed}", style(comparison, e), *thin))
        if lines:
            told = f"{note}; means of neighbouring steps" if averaged else note
            panels.append(line_panel(title, told, lines, "step"))
    return panel_grid(panels)


def _mark(comparison: Comparison, experiment: Experiment, column: Column) -> Mark:
    found = summary(experiment, column)
    points = tuple(v for run in experiment.runs if (v := value(run, column)) is not None)
    mean, std = (found.mean, found.std) if found is not None else (None, None)
    return Mark(experiment.label, style(comparison, experiment), mean, std, points)


def _language_mark(comparison: Comparison, experiment: Experiment, language: str, column: Column) -> Mark:
    found = [_language_value(run, language, column) for run in experiment.runs]
    present = tuple(v for v in found if v is not None and math.isfinite(v))
    total = summarise(present) if present and len(present) == len(found) else None
    mean, std = (total.mean, total.std) if total is not None else (None, None)
    return Mark(experiment.label, style(comparison, experiment), mean, std, present)


def _language_value(run: Run, language: str, column: Column) -> float | None:
    measured = run.metrics["per_language"].get(language, {})
    if column.metric == RANK_DISTANCE:
        found = measured.get(RANK_DISTANCE)
    else:
        found = measured.get(column.setting, {}).get(column.metric)
    return None if found is None else float(found)


def panel_grid(panels: Sequence[str]) -> str:
    """Panels side by side, as many as the page is wide; "" without panels."""
    return f'<div class="panels">{"".join(panels)}</div>\n' if panels else ""
