"""The tables of the report."""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape

from hybrid_retrieval.reporting.cells import (
    NONE,
    bias_legend,
    legend,
    paper_cell,
    seeds_words,
    shown,
    tests_explained,
)
from hybrid_retrieval.reporting.columns import Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.cost import UNKNOWN, Cost, duration
from hybrid_retrieval.reporting.difference_words import format_change, words
from hybrid_retrieval.reporting.differences import Difference
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.language_names import language
from hybrid_retrieval.reporting.overview import overview
from hybrid_retrieval.reporting.palette import style
from hybrid_retrieval.reporting.statistics import best, language_summary, summary

_KEY = (
    "Each cell: the difference, what the test says, the 95 % interval. ↑ higher, ↓ lower is better. "
    "“Within seeds”: significant on these queries, but other seeds could undo it. “?”: the bootstrap test "
    "disagrees. Hold the pointer over a cell, or see comparison.md, for p-values and effect sizes."
)
_COST_EXPLAINED = (
    "Time of a run: wall-clock time of training with its validations, mean over seeds. Pairs/s: median of "
    "what was logged, without validation. All runs × devices: time of all seeds, times the devices of each "
    "(GPU hours on a GPU, process hours on a CPU). “unknown”: not recorded by these runs, and not estimated."
)


def main_table(comparison: Comparison) -> str:
    """The sortable table of the metrics, with the published rows beside ours where there are any."""
    return _experiments_table(comparison, comparison.table, seeds=True) + _note(
        legend(comparison).replace("is marked", "has a ★")
    )


def bias_table(comparison: Comparison) -> str:
    """The sortable table of the measures of language bias, and what they mean."""
    items = "".join(f"<li>{escape(line)}</li>" for line in bias_legend(comparison.bias_table))
    table = _experiments_table(comparison, comparison.bias_table) if len(comparison.bias_table) > 1 else ""
    return f'{table}<ul class="note-box">{items}</ul>' if items else ""


def language_table(comparison: Comparison, column: Column) -> str:
    """A column by language of the query, an experiment a row; published rows below."""
    rows = []
    for e in comparison.experiments:
        cells = [_label_cell(comparison, e)]
        for code in comparison.languages:
            found = language_summary(e, code, column)
            text = NONE if found is None else shown(found, column, spread=False)
            cells.append(f'<td data-value="{"" if found is None else repr(found.mean)}">{text}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    for row in comparison.paper:
        numbers = row.by_language.get(column, {})
        if numbers:
            texts = [f"{numbers[x]:.3f}" if x in numbers else NONE for x in comparison.languages]
            rows.append(_paper_row(f"{row.strategy}, paper, {row.backbone}", texts))
    names = {code: language(code).told for code in comparison.languages}
    return _table(["Strategy", *names], rows, css="sortable", hover=names)


def overview_table(comparisons: Sequence[Comparison]) -> str:
    """The main metric of every benchmark."""
    heads, found = overview(comparisons)
    rows = []
    for label, cells in found:
        shown_cells = "".join(
            f'<td{_best(mark)} data-value="{_number(text)}">{escape(text)}</td>' for text, mark in cells
        )
        rows.append(f"<tr>{_head_cell(label)}{shown_cells}</tr>")
    return _table(heads, rows, css="sortable")


def differences_table(comparison: Comparison) -> str:
    """Every test made, with its verdict in words: one row a pair, one column a measure."""
    columns = list(dict.fromkeys(d.column for d in comparison.differences))
    pairs = dict.fromkeys((d.experiment, d.baseline) for d in comparison.differences)
    found = {(d.experiment, d.baseline, d.column): d for d in comparison.differences}
    rows = []
    for experiment, rival in pairs:
        tested = [found.get((experiment, rival, column)) for column in columns]
        cells = "".join(_difference_cell(d) if d is not None else f"<td>{NONE}</td>" for d in tested)
        name = f"{escape(experiment)} <span class='spread'>vs {escape(rival)}</span>"
        rows.append(f'<tr><th scope="row">{name}</th>{cells}</tr>')
    heads = ["Compared", *(f"{c.title}{_arrow(c)}" for c in columns)]
    table = _table(heads, rows, css="differences") if rows else "<p>Nothing was tested.</p>"
    notes = [*([_KEY, tests_explained(comparison)] if rows else []), *comparison.caveats()]
    return table + "".join(_note(note) for note in notes)


def cost_table(costs: Mapping[str, Cost]) -> str:
    """What training cost, an experiment a row."""
    rows = []
    for label, cost in costs.items():
        energy = cost.kilowatt_hours
        device = f"{cost.devices or '?'} × {cost.device}"
        cells = [
            _value_cell(str(cost.steps or UNKNOWN), cost.steps),
            _value_cell(f"{cost.pairs:,}" if cost.pairs else UNKNOWN, cost.pairs),
            _value_cell(duration(cost.seconds), cost.seconds),
            _value_cell(_rate(cost.steps_per_second), cost.steps_per_second),
            _value_cell(_rate(cost.pairs_per_second), cost.pairs_per_second),
            f'<td data-value="{escape(device, quote=True)}">{escape(device)}</td>',
            _value_cell(duration(cost.total_hours * 3600), cost.total_hours),
            _value_cell(UNKNOWN if energy is None else f"{energy:.3g} kWh", energy),
            _value_cell(str(cost.runs), cost.runs),
        ]
        rows.append(f"<tr>{_head_cell(label)}{''.join(cells)}</tr>")
    heads = [
        "Strategy", "Steps", "Pairs seen", "Time of a run", "Steps/s", "Pairs/s", "Device",
        "All runs × devices", "Energy", "Runs",
    ]  # fmt: skip
    resumed = [f"{cost.resumed} of {label}" for label, cost in costs.items() if cost.resumed]
    told = f" Resumed runs, of which only the last part is counted: {', '.join(resumed)}." if resumed else ""
    return _table(heads, rows, css="sortable") + _note(_COST_EXPLAINED + told)


def _value_cell(text: str, key: float | None) -> str:
    known = key is not None and math.isfinite(key)
    return f'<td data-value="{repr(key) if known else ""}">{escape(text)}</td>'


def _head_cell(label: str) -> str:
    return f'<th scope="row" data-value="{escape(label, quote=True)}">{escape(label)}</th>'


def _rate(value: float) -> str:
    return f"{value:,.1f}" if math.isfinite(value) else UNKNOWN


def _arrow(column: Column) -> str:
    return {True: " ↑", False: " ↓", None: ""}[column.higher_is_better]


def _difference_cell(d: Difference) -> str:
    certain = d.significant and not d.within_seed_spread
    css = ("yes" if d.better else "worse") if certain else "unsure"
    word = ("better" if d.better else "worse") if d.significant else "not significant"
    if d.significant and d.within_seed_spread:
        word += ", within seeds"
    doubt = "" if d.tests_agree else " ?"
    return (
        f'<td title="{escape(words(d), quote=True)}"><b>{format_change(d, d.difference)}</b><br>'
        f'<span class="{css}">{escape(word)}{doubt}</span><br>'
        f'<span class="spread">{format_change(d, d.low)} … {format_change(d, d.high)}</span></td>'
    )


def _experiments_table(comparison: Comparison, columns: Sequence[Column], *, seeds: bool = False) -> str:
    winners = {column: best(comparison.experiments, column) for column in columns}
    rows = []
    for e in comparison.experiments:
        cells = [_label_cell(comparison, e)]
        cells += [_number_cell(e, column, winner=e.label in winners[column]) for column in columns]
        if seeds:
            cells.append(f'<td data-value="{len(e.seeds)}">{seeds_words(e)}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    for row in comparison.paper:
        if any(column in row.means for column in columns):
            texts = [paper_cell(row, column) for column in columns] + [NONE] * seeds
            rows.append(_paper_row(f"{row.strategy}, paper, {row.backbone}", texts))
    heads = ["Strategy", *(column.title for column in columns), *(["Seeds"] if seeds else [])]
    return _table(heads, rows, css="sortable")


def _label_cell(comparison: Comparison, experiment: Experiment) -> str:
    return (
        f'<th scope="row" class="{style(comparison, experiment)}" '
        f'data-value="{escape(experiment.label, quote=True)}">'
        f'<span class="swatch"></span>{escape(experiment.label)}</th>'
    )


def _number_cell(experiment: Experiment, column: Column, *, winner: bool) -> str:
    found = summary(experiment, column)
    if found is None:
        return '<td data-value="">n/a</td>'
    spread = "" if found.std is None else f' <span class="spread">± {column.format(found.std)}</span>'
    return f'<td{_best(winner)} data-value="{found.mean!r}">{column.format(found.mean)}{spread}</td>'


def _best(mark: bool) -> str:
    return ' class="best"' if mark else ""


def _number(text: str) -> str:
    """What a cell is sorted by: the mean before its spread; "" without one."""
    return "" if text in {NONE, "n/a"} else text.split(maxsplit=1)[0]


def _paper_row(name: str, texts: Sequence[str]) -> str:
    cells = "".join(f'<td data-value="{"" if text == NONE else text}">{text}</td>' for text in texts)
    return f'<tr class="paper">{_head_cell(name)}{cells}</tr>'


def _table(
    heads: Sequence[str], rows: Sequence[str], *, css: str, hover: Mapping[str, str] | None = None
) -> str:
    make: Callable[[str], str] = (
        (lambda h: f'<button type="button">{h}</button>') if css == "sortable" else (lambda h: h)
    )
    told = {name: f' title="{escape(text, quote=True)}"' for name, text in (hover or {}).items()}
    head = "".join(f'<th scope="col"{told.get(name, "")}>{make(escape(name))}</th>' for name in heads)
    return (
        f'<div class="scroll" tabindex="0" role="region" aria-label="Table"><table class="{css}">'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n" + "\n".join(rows) + "\n</tbody></table></div>\n"
    )


def _note(text: str) -> str:
    return f"<p class='note-box'>{escape(text)}</p>"
