"""The report: one HTML file that needs nothing else, not even a network."""

from collections.abc import Callable
from html import escape
from importlib import resources

from hybrid_retrieval.reporting import charts
from hybrid_retrieval.reporting.batch_statistics import batch_statistics
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.differences import Difference, format_change, measure_words, p_words, verdict
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.how_to_repeat import how_to_repeat
from hybrid_retrieval.reporting.paper import reference
from hybrid_retrieval.reporting.statistics import (
    Column,
    best,
    summary,
    table_columns,
)
from hybrid_retrieval.reporting.summary import summary_sentences
from hybrid_retrieval.reporting.tables import paper_cell, seeds_words, tests_explained
from hybrid_retrieval.reporting.training_curves import read_training

STRATEGY_WORDS = {
    "untrained": "the backbone before any training of ours",
    "en_en": "English queries with English passages only",
    "x_x": "each pair in one language, several languages in a batch",
    "x_x_mono": "monolingual batches: every query and passage of a batch in one language",
    "x_y": "cross-lingual batches: each query and its passage in two different languages",
    "hybrid": "each batch monolingual with probability alpha, otherwise cross-lingual",
}
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


def report(comparison: Comparison) -> str:
    """The whole page. Every text that comes from a file is escaped; equal input gives equal bytes.

    Raises:
        UserError: a train_metrics.csv or a file under .hydra cannot be read.
    """
    training = {
        run: read_training(run.training_folder)
        for e in comparison.experiments
        for run in e.runs
        if run.training
    }
    baseline = _baseline(comparison)
    title = f"Batch strategies compared on {comparison.benchmark}"
    sections = [
        f"<h1>{escape(title)}</h1>\n<p class='under'>{escape(comparison.counts_words())}</p>",
        '<div class="summary">'
        + "".join(f"<p>{escape(sentence)}</p>" for sentence in summary_sentences(comparison))
        + "</div>",
        _section("Results", comparison_table(comparison) + _strategies_explained(comparison)),
        _section("Which differences are significant", differences_table(comparison)),
        _section(
            "Retrieval in the three settings",
            "<p class='note-box'>Dots are means over seeds, rings single seeds, whiskers one standard "
            "deviation over seeds.</p>" + charts.setting_panels(comparison),
        ),
        _section(
            "Language bias",
            "<p class='note-box'>Rank distance: how many ranks lie between the first and the last of a "
            "query's equally good answers in different languages, when all are searched at once.</p>"
            + charts.rank_distance_panel(comparison),
        ),
        _section(
            "Language by language",
            charts.legend(comparison, comparison.experiments) + charts.language_panels(comparison),
        ),
        _section(
            "Query language by document language",
            "<p class='note-box'>Queries of one language against the candidates of one language; the framed "
            "diagonal is the monolingual setting. Hold the pointer over a cell for the exact value.</p>"
            + charts.heat_map_panels(comparison, baseline),
        ),
        _section("Training", _training(comparison, training)),
        _section("Batches", batch_statistics(comparison, training)),
        _section("How to repeat", how_to_repeat(comparison)),
    ]
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_asset('report.css')}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(section for section in sections if section)
        + f"\n</main>\n<script>\n{_asset('report.js')}</script>\n</body>\n</html>\n"
    )


def comparison_table(comparison: Comparison) -> str:
    """The sortable table, with the paper's rows beside ours where there are any."""
    columns = table_columns(comparison.metric)
    winners = {column: best(comparison.experiments, column) for column in columns}
    heads = ["Strategy", *(column.title for column in columns), "Seeds"]
    rows = []
    for e in comparison.experiments:
        cells = [
            f'<td class="{charts.style(comparison, e)}" data-value="{escape(e.label, quote=True)}">'
            f'<span class="swatch"></span>{escape(e.label)}</td>'
        ]
        cells += [_number_cell(e, column, winner=e.label in winners[column]) for column in columns]
        cells.append(f'<td data-value="{len(e.seeds)}">{seeds_words(e)}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    for row in comparison.paper:
        name = f"{row.strategy}, paper, {row.backbone}"
        cells = [f'<td data-value="{escape(name, quote=True)}">{escape(name)}</td>']
        for column in columns:
            text = paper_cell(row, column, comparison.metric)
            cells.append(f'<td data-value="{"" if text == "–" else text}">{text}</td>')
        rows.append(f'<tr class="paper">{"".join(cells)}<td data-value="">–</td></tr>')
    note = (
        "<p class='note-box'>Mo: queries of a language against candidates of the same language. Cr: against "
        "those of another language. Mul: against the pool of all languages. Means over languages, ± standard "
        "deviation over seeds; ★ marks our best. Higher is better, but for rank distance lower is better."
        + (f" Rows in italics: {escape(reference())}, other backbones and data." if comparison.paper else "")
        + "</p>"
    )
    return _table(heads, rows, css="sortable") + note


def differences_table(comparison: Comparison) -> str:
    """Every test made, with its verdict in words: one row a pair, one column a measure."""
    measures = dict.fromkeys(d.measure for d in comparison.differences)
    pairs = dict.fromkeys((d.experiment, d.baseline) for d in comparison.differences)
    found = {(d.experiment, d.baseline, d.measure): d for d in comparison.differences}
    heads = [
        "Compared",
        *(measure_words(next(d for d in found.values() if d.measure == m)) for m in measures),
    ]
    rows = []
    for experiment, rival in pairs:
        tested = [found.get((experiment, rival, measure)) for measure in measures]
        cells = "".join(_difference_cell(d) if d is not None else "<td>–</td>" for d in tested)
        rows.append(f"<tr><td>{escape(experiment)} vs<br>{escape(rival)}</td>{cells}</tr>")
    table = _table(heads, rows, css="differences") if rows else "<p>Nothing was tested.</p>"
    notes = [tests_explained(comparison), *comparison.caveats()]
    return table + "".join(f"<p class='note-box'>{escape(note)}</p>" for note in notes)


def _difference_cell(d: Difference) -> str:
    certain = d.significant and not d.within_seed_spread
    css = ("yes" if d.better else "worse") if certain else "unsure"
    return (
        f'<td><b>{format_change(d, d.difference)}</b><br><span class="{css}">{escape(verdict(d))}</span><br>'
        f'<span class="spread">{format_change(d, d.low)} to {format_change(d, d.high)}; '
        f"{escape(p_words(d.adjusted_p))}</span></td>"
    )


def _number_cell(experiment: Experiment, column: Column, *, winner: bool) -> str:
    found = summary(experiment, column)
    if found is None:
        return '<td data-value="">n/a</td>'
    spread = "" if found.std is None else f' <span class="spread">± {column.format(found.std)}</span>'
    mark = ' class="best"' if winner else ""
    return f'<td{mark} data-value="{found.mean!r}">{column.format(found.mean)}{spread}</td>'


def _strategies_explained(comparison: Comparison) -> str:
    present = dict.fromkeys(e.strategy for e in comparison.experiments)
    items = [
        f"<li><b>{escape(strategy)}</b>: {escape(STRATEGY_WORDS[strategy])}</li>"
        for strategy in present
        if strategy in STRATEGY_WORDS
    ]
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _training(comparison: Comparison, training: charts.Training) -> str:
    panels = charts.curve_panels(comparison, training)
    if not panels:
        return ""
    return charts.legend(comparison, comparison.trained) + panels


def _baseline(comparison: Comparison) -> Experiment | None:
    """The experiment most others were tested against, for the maps of differences."""
    names = [d.baseline for d in comparison.differences]
    name = max(dict.fromkeys(names), key=names.count) if names else "x_x_mono"
    return next((e for e in comparison.experiments if e.label == name), None)


def _table(heads: list[str], rows: list[str], *, css: str = "") -> str:
    make: Callable[[str], str] = (
        (lambda h: f'<button type="button">{h}</button>') if css == "sortable" else (lambda h: h)
    )
    head = "".join(f'<th scope="col">{make(escape(name))}</th>' for name in heads)
    return (
        f'<div class="scroll"><table class="{css}"><thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(rows)
        + "\n</tbody></table></div>\n"
    )


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}</section>" if content else ""


def _asset(name: str) -> str:
    return resources.files("hybrid_retrieval.reporting").joinpath(name).read_text("utf-8")
