"""The tables of the report."""

from collections.abc import Callable, Sequence
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
from hybrid_retrieval.reporting.charts import style
from hybrid_retrieval.reporting.columns import Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.difference_words import (
    count_words,
    effect_words,
    format_change,
    p_words,
    verdict,
)
from hybrid_retrieval.reporting.differences import Difference
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.overview import overview
from hybrid_retrieval.reporting.statistics import best, language_summary, summary


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
        for language in comparison.languages:
            found = language_summary(e, language, column)
            text = NONE if found is None else shown(found, column, spread=False)
            cells.append(f'<td data-value="{"" if found is None else repr(found.mean)}">{text}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    for row in comparison.paper:
        numbers = row.by_language.get(column, {})
        if numbers:
            texts = [f"{numbers[x]:.3f}" if x in numbers else NONE for x in comparison.languages]
            rows.append(_paper_row(f"{row.strategy}, paper, {row.backbone}", texts))
    return _table(["Strategy", *comparison.languages], rows, css="sortable")


def overview_table(comparisons: Sequence[Comparison]) -> str:
    """The main metric of every benchmark."""
    heads, found = overview(comparisons)
    rows = []
    for label, cells in found:
        shown_cells = "".join(
            f'<td{_best(mark)} data-value="{_number(text)}">{escape(text)}</td>' for text, mark in cells
        )
        rows.append(
            f'<tr><td data-value="{escape(label, quote=True)}">{escape(label)}</td>{shown_cells}</tr>'
        )
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
        rows.append(f"<tr><td>{escape(experiment)} vs<br>{escape(rival)}</td>{cells}</tr>")
    heads = ["Compared", *(f"{c.words}{_lower(c)}" for c in columns)]
    table = _table(heads, rows, css="differences") if rows else "<p>Nothing was tested.</p>"
    notes = [*([tests_explained(comparison)] if rows else []), *comparison.caveats()]
    return table + "".join(_note(note) for note in notes)


def _lower(column: Column) -> str:
    return " (lower is better)" if column.higher_is_better is False else ""


def _difference_cell(d: Difference) -> str:
    certain = d.significant and not d.within_seed_spread
    css = ("yes" if d.better else "worse") if certain else "unsure"
    return (
        f'<td><b>{format_change(d, d.difference)}</b><br><span class="{css}">{escape(verdict(d))}</span><br>'
        f'<span class="spread">{format_change(d, d.low)} to {format_change(d, d.high)}; '
        f"{escape(p_words(d.adjusted_p))}; {escape(effect_words(d))}; {escape(count_words(d))}</span></td>"
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
        f'<td class="{style(comparison, experiment)}" data-value="{escape(experiment.label, quote=True)}">'
        f'<span class="swatch"></span>{escape(experiment.label)}</td>'
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
    return f'<tr class="paper"><td data-value="{escape(name, quote=True)}">{escape(name)}</td>{cells}</tr>'


def _table(heads: Sequence[str], rows: Sequence[str], *, css: str) -> str:
    make: Callable[[str], str] = (
        (lambda h: f'<button type="button">{h}</button>') if css == "sortable" else (lambda h: h)
    )
    head = "".join(f'<th scope="col">{make(escape(name))}</th>' for name in heads)
    return (
        f'<div class="scroll"><table class="{css}"><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>\n"
    )


def _note(text: str) -> str:
    return f"<p class='note-box'>{escape(text)}</p>"
