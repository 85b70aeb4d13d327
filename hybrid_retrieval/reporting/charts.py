"""The charts of the report that need no more than the comparison: settings, and training curves."""

from collections.abc import Mapping

from hybrid_retrieval.reporting.columns import SETTING_WORDS, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.marks import experiment_mark
from hybrid_retrieval.reporting.palette import style
from hybrid_retrieval.reporting.panels import panel_grid
from hybrid_retrieval.reporting.runs import Run
from hybrid_retrieval.reporting.svg import dot_panel
from hybrid_retrieval.reporting.svg_lines import Line, line_panel
from hybrid_retrieval.reporting.training_curves import CURVES, Curve, thinned

Training = Mapping[Run, Mapping[str, Curve]]
"""What each trained run logged: columns of train_metrics.csv."""


def setting_panels(comparison: Comparison) -> str:
    """The metric by strategy, one panel a setting."""
    panels = []
    for column in comparison.main:
        marks = [experiment_mark(comparison, e, column) for e in comparison.experiments]
        title = f"{SETTING_WORDS[column.setting].capitalize()} {metric_name(comparison.metric)}"
        panels.append(dot_panel(title, "higher is better; axis does not start at 0", marks, column.digits))
    return panel_grid(panels)


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
