"""The charts of language bias: bars of every measure, what stands first, and what each language gets."""

from html import escape

from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.focus import focus
from hybrid_retrieval.reporting.language_names import language
from hybrid_retrieval.reporting.languages import in_order
from hybrid_retrieval.reporting.marks import experiment_mark, seeds_mark
from hybrid_retrieval.reporting.panels import legend, panel_grid
from hybrid_retrieval.reporting.stacked_bars import stacked_panel
from hybrid_retrieval.reporting.statistics import summary
from hybrid_retrieval.reporting.svg import bar_panel
from hybrid_retrieval.reporting.svg_rows import Row, row_panel

POOL_SHARE = "pool_share"
MEAN_RANK = "mean_rank"
_TOP_SHARE = "top_share@"


def bias_panels(comparison: Comparison) -> str:
    """One panel of bars a measure."""
    return panel_grid([_bars(comparison, column) for column in comparison.bias_table])


def decomposition_panel(comparison: Comparison) -> str:
    """Of what kind the first candidate is, as shares of the queries; "" where that was not measured."""
    columns = comparison.decomposition
    if not columns:
        return ""
    names = [column.title.removeprefix("First: ").capitalize() for column in columns]
    rows = []
    for e in comparison.experiments:
        found = [summary(e, column) for column in columns]
        rows.append((e.label, [None if s is None else s.mean for s in found]))
    items = "".join(
        f'<li class="part{k}"><span class="swatch"></span>{escape(name)}</li>' for k, name in enumerate(names)
    )
    chart = stacked_panel(
        "What stands first in the pool", "share of the queries; language: that of the query", names, rows
    )
    return f'<ul class="legend">{items}</ul>\n<div class="wide">{chart}</div>\n'


def document_language_panels(comparison: Comparison) -> str:
    """What each document language gets: its share of the top against its share of the pool, its mean rank."""
    keys = dict.fromkeys(
        key for run in comparison.runs for found in _tables(run.metrics).values() for key in found
    )
    panels = [
        _share_panel(comparison, key, key.removeprefix(_TOP_SHARE))
        for key in keys
        if key.startswith(_TOP_SHARE)
    ]
    if MEAN_RANK in keys:
        rows = _rows(comparison, MEAN_RANK, reference=None)
        note = "of the relevant candidates of a language in the pool; lower is better"
        panels.append(row_panel("Mean rank by document language", note, rows, 1))
    return legend(comparison, focus(comparison), toggles=True) + panel_grid(panels) if panels else ""


def _bars(comparison: Comparison, column: Column) -> str:
    marks = [experiment_mark(comparison, e, column) for e in comparison.experiments]
    note = column.direction or "describes, does not judge"
    if column == RANK_DISTANCE_COLUMN:
        note = f"in ranks; {note}"
    return bar_panel(column.title, note, marks, column.digits)


def _share_panel(comparison: Comparison, key: str, cutoff: str) -> str:
    title = f"Share of the top {cutoff} by document language"
    rows = _rows(comparison, key, reference=POOL_SHARE)
    return row_panel(title, "upright stroke: the language's share of the pool", rows, 3, from_zero=True)


def _rows(comparison: Comparison, key: str, *, reference: str | None) -> list[Row]:
    rows = []
    for code, section in in_order(comparison):
        marks = [seeds_mark(comparison, e, _values(e, code, key)) for e in focus(comparison)]
        stroke = None
        if reference is not None:
            known = [v for e in comparison.experiments for v in _values(e, code, reference) if v is not None]
            stroke = known[0] if known else None
        rows.append(Row(language(code), section, marks, stroke))
    return rows


def _values(experiment: Experiment, language: str, key: str) -> list[float | None]:
    return [_tables(run.metrics).get(language, {}).get(key) for run in experiment.runs]


def _tables(metrics: dict[str, dict[str, dict[str, float | None]]]) -> dict[str, dict[str, float | None]]:
    """`per_document_language` of metrics.json; files of earlier versions have none."""
    return metrics.get("per_document_language") or {}
