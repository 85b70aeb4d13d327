"""The charts of the report: which numbers go into which panel."""

from collections.abc import Mapping, Sequence
from html import escape

from hybrid_retrieval.reporting.columns import (
    RANK_DISTANCE_COLUMN,
    SETTING_WORDS,
    Column,
    language_value,
    metric_name,
    value,
)
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.heat_maps import difference, difference_map, heat_map, pair_values
from hybrid_retrieval.reporting.language_names import language_name
from hybrid_retrieval.reporting.runs import STRATEGY_ORDER, Run
from hybrid_retrieval.reporting.statistics import summarise_all
from hybrid_retrieval.reporting.svg import Line, Mark, Row, dot_panel, line_panel, row_panel
from hybrid_retrieval.reporting.training_curves import CURVES, Curve, thinned

Training = Mapping[Run, Mapping[str, Curve]]
"""What each trained run logged: columns of train_metrics.csv."""

_VARIANTS = 6
_LEAST_FILLED = 0.5


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
    for column in comparison.main:
        marks = [experiment_mark(comparison, e, column) for e in comparison.experiments]
        title = f"{SETTING_WORDS[column.setting].capitalize()} {metric_name(comparison.metric)}"
        panels.append(dot_panel(title, "higher is better; axis does not start at 0", marks, column.digits))
    return panel_grid(panels)


def language_panels(comparison: Comparison) -> str:
    """Every language with a dot for each experiment, trained languages before the others."""
    if len(comparison.languages) < 2:
        return ""
    panels = []
    for column in (*comparison.main, RANK_DISTANCE_COLUMN):
        rows = [
            Row(
                name,
                section,
                [_language_mark(comparison, e, language, column) for e in comparison.experiments],
            )
            for language, name, section in in_order(comparison)
        ]
        if not any(mark.mean is not None for row in rows for mark in row.marks):
            continue
        if column == RANK_DISTANCE_COLUMN:
            title, note = "Rank distance by language of the query", "in ranks; lower is better"
        else:
            title = f"{SETTING_WORDS[column.setting].capitalize()} {metric_name(column.metric)} by language"
            note = "higher is better; axis does not start at 0"
        panels.append(row_panel(title, note, rows, column.digits))
    return panel_grid(panels)


def in_order(comparison: Comparison) -> list[tuple[str, str, str]]:
    """The languages as (code, name, section): those that were trained on before the others."""
    trained = {language for e in comparison.trained for language in e.train_languages}
    ordered = sorted(comparison.languages, key=lambda code: (code not in trained, language_name(code)))
    return [
        (code, language_name(code), "trained on" if code in trained else "never trained on")
        for code in ordered
    ]


def heat_map_panels(comparison: Comparison, baseline: Experiment | None) -> str:
    """Query language by document language for every experiment, on one colour scale.

    "" for a benchmark that has few of the pairs, such as one without a cross-lingual setting.
    """
    languages = comparison.languages
    values = {e.label: pair_values(e, languages, comparison.metric) for e in comparison.experiments}
    everything = [v for found in values.values() for v in found.values()]
    if len(everything) < _LEAST_FILLED * len(comparison.experiments) * len(languages) ** 2:
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


def experiment_mark(comparison: Comparison, experiment: Experiment, column: Column) -> Mark:
    """An experiment in one column."""
    return seeds_mark(comparison, experiment, [value(run, column) for run in experiment.runs])


def seeds_mark(comparison: Comparison, experiment: Experiment, values: Sequence[float | None]) -> Mark:
    """An experiment with the values of its seeds; without a mean unless every seed has one."""
    found = summarise_all(values)
    mean, std = (found.mean, found.std) if found is not None else (None, None)
    points = tuple(v for v in values if v is not None)
    return Mark(experiment.label, style(comparison, experiment), mean, std, points)


def _language_mark(comparison: Comparison, experiment: Experiment, language: str, column: Column) -> Mark:
    values = [language_value(run, language, column) for run in experiment.runs]
    return seeds_mark(comparison, experiment, values)


def panel_grid(panels: Sequence[str]) -> str:
    """Panels side by side, as many as the page is wide; "" without panels."""
    return f'<div class="panels">{"".join(panels)}</div>\n' if panels else ""
