"""The alpha curve: every setting and the rank distance against alpha, and what is traded for what."""

from html import escape

from hybrid_retrieval.reporting.alpha import AlphaSweep, alpha_sweeps, bend, trade_offs
from hybrid_retrieval.reporting.columns import (
    RANK_DISTANCE_COLUMN,
    SETTING_WORDS,
    Column,
    metric_name,
    value,
)
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment, constant_alpha
from hybrid_retrieval.reporting.palette import style
from hybrid_retrieval.reporting.panels import panel_grid
from hybrid_retrieval.reporting.statistics import summary
from hybrid_retrieval.reporting.svg_lines import Point, scatter_panel, spread_panel

EXPLAINED = (
    "Alpha is the probability that a batch is monolingual. Dots are means over seeds, rings single seeds, "
    "the band one standard deviation. Squares are the strategies that alpha = 0 and 1 stand for, x_y and "
    "x_x_mono. The bend is the point of the trade-off farthest beyond the straight line between the least "
    "and the greatest alpha."
)


def alpha_section(comparison: Comparison) -> str:
    """Panels and findings for each sweep; "" without one."""
    parts = []
    for sweep in alpha_sweeps(comparison):
        found = "".join(
            f"<li>{escape(bend(sweep, gain, cost).words)}</li>" for gain, cost in trade_offs(comparison)
        )
        head = f"<h3>{escape(sweep.title)}</h3>" if sweep.title else ""
        findings = f'<ul class="findings">{found}</ul>' if found else ""
        parts.append(
            f"{head}{findings}{panel_grid([*_curves(comparison, sweep), *_trades(comparison, sweep)])}"
        )
    return "".join(parts) + f"<p class='note-box'>{EXPLAINED}</p>" if parts else ""


def alpha_columns(comparison: Comparison) -> list[Column]:
    """What is drawn against alpha: the main metric in every setting, then rank distance."""
    return [*comparison.main, *(c for c in comparison.bias if c == RANK_DISTANCE_COLUMN)]


def _curves(comparison: Comparison, sweep: AlphaSweep) -> list[str]:
    panels = []
    for column in alpha_columns(comparison):
        points = _points(comparison, sweep, column)
        if column == RANK_DISTANCE_COLUMN:
            title, note = "Rank distance (language bias)", "in ranks; lower is better"
        else:
            title = f"{SETTING_WORDS[column.setting].capitalize()} {metric_name(column.metric)}"
            note = "higher is better; axis does not start at 0"
        panels.append(spread_panel(title, note, points, "alpha", column.digits))
    return panels


def _trades(comparison: Comparison, sweep: AlphaSweep) -> list[str]:
    panels = []
    for gain, cost in trade_offs(comparison):
        points = []
        for alpha, e, is_end in _places(sweep):
            x, y = summary(e, gain), summary(e, cost)
            if x is not None and y is not None:
                caption = "" if is_end else f"{alpha:g}"
                label = f"{e.label}, {gain.words} and {cost.words}"
                points.append(Point(label, style(comparison, e), x.mean, y.mean, end=is_end, caption=caption))
        title = f"{cost.words[0].upper()}{cost.words[1:]} against monolingual"
        best = "lower right" if cost.higher_is_better is False else "upper right"
        note = f"numbers: alpha; best is {best}"
        panels.append(
            scatter_panel(
                title,
                note,
                points,
                gain.words,
                (gain.digits, cost.digits),
                rising=cost.higher_is_better is False,
            )
        )
    return panels


def _places(sweep: AlphaSweep) -> list[tuple[float, Experiment, bool]]:
    """The points of the curve, then the ends; those of the curve that are ends are drawn as such too."""
    return [*((a, e, False) for a, e in sweep.curve), *((a, e, True) for a, e in sweep.ends)]


def _points(comparison: Comparison, sweep: AlphaSweep, column: Column) -> list[Point]:
    points = []
    for alpha, e, is_end in _places(sweep):
        found = summary(e, column)
        if found is not None:
            seeds = tuple(v for run in e.runs if (v := value(run, column)) is not None)
            label = f"{e.label}{'' if constant_alpha(e) is None else f', alpha {alpha:g}'}"
            points.append(Point(label, style(comparison, e), alpha, found.mean, found.std, seeds, end=is_end))
    return points
