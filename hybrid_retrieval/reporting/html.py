"""The report: one HTML file that needs nothing else, not even a network."""

from collections.abc import Sequence
from html import escape
from importlib import resources

from hybrid_retrieval.reporting import bias_charts, charts
from hybrid_retrieval.reporting.batch_statistics import batch_statistics
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.how_to_repeat import how_to_repeat
from hybrid_retrieval.reporting.html_tables import (
    bias_table,
    differences_table,
    language_table,
    main_table,
    overview_table,
)
from hybrid_retrieval.reporting.summary import summary_sentences
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


def report(comparisons: Sequence[Comparison]) -> str:
    """The whole page, a tab for each benchmark. Texts from files are escaped; equal input gives equal bytes.

    Raises:
        UserError: a train_metrics.csv or a file under .hydra cannot be read.
    """
    if len(comparisons) == 1:
        (only,) = comparisons
        title = f"Batch strategies compared on {only.benchmark}"
        body = f"<h1>{escape(title)}</h1>\n{_benchmark(only)}{_training(only)}{_repeat(only)}"
    else:
        title = f"Batch strategies compared on {len(comparisons)} benchmarks"
        parts = [(c.benchmark, _benchmark(c) + _repeat(c)) for c in comparisons]
        trained = _training(max(comparisons, key=lambda c: len(c.trained)))
        parts += [("Training", trained)] if trained else []
        body = f"<h1>{escape(title)}</h1>\n{overview_table(comparisons)}{_tabs(parts)}"
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{_asset('report.css')}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n<script>\n{_asset('report.js')}</script>\n</body>\n</html>\n"
    )


def _benchmark(comparison: Comparison) -> str:
    """All sections on one benchmark but those on the training and on how to repeat it."""
    sections = [
        f"<p class='under'>{escape(comparison.counts_words())}</p>",
        '<div class="summary">'
        + "".join(f"<p>{escape(sentence)}</p>" for sentence in summary_sentences(comparison))
        + "</div>",
        _section("Results", main_table(comparison) + _strategies_explained(comparison)),
        _section("Which differences are significant", differences_table(comparison)),
        _section(
            "Retrieval by setting",
            "<p class='note-box'>Dots are means over seeds, rings single seeds, whiskers one standard "
            "deviation over seeds.</p>" + charts.setting_panels(comparison),
        ),
        _section("Language bias", _language_bias(comparison)),
        _section("Language by language", _languages(comparison)),
        _section("Query language by document language", _heat_maps(comparison)),
    ]
    return "\n".join(section for section in sections if section)


def _language_bias(comparison: Comparison) -> str:
    return (
        bias_table(comparison)
        + bias_charts.bias_panels(comparison)
        + bias_charts.decomposition_panel(comparison)
        + bias_charts.document_language_panels(comparison)
    )


def _languages(comparison: Comparison) -> str:
    panels = charts.language_panels(comparison)
    if not panels:
        return ""
    tables = "".join(
        f"<details><summary>{escape(column.title)} by language as a table</summary>"
        f"{language_table(comparison, column)}</details>\n"
        for column in comparison.main
    )
    return charts.legend(comparison, comparison.experiments) + panels + tables


def _heat_maps(comparison: Comparison) -> str:
    maps = charts.heat_map_panels(comparison, _baseline(comparison))
    if not maps:
        return ""
    return (
        "<p class='note-box'>Queries of one language against the candidates of one language; the framed "
        "diagonal is the monolingual setting. Hold the pointer over a cell for the exact value.</p>" + maps
    )


def _strategies_explained(comparison: Comparison) -> str:
    present = dict.fromkeys(e.strategy for e in comparison.experiments)
    items = [
        f"<li><b>{escape(strategy)}</b>: {escape(STRATEGY_WORDS[strategy])}</li>"
        for strategy in present
        if strategy in STRATEGY_WORDS
    ]
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _training(comparison: Comparison) -> str:
    """The sections on what was logged while the models were trained."""
    training = {run: read_training(run.training_folder) for run in comparison.runs if run.training}
    panels = charts.curve_panels(comparison, training)
    if panels:
        panels = charts.legend(comparison, comparison.trained) + panels
    return _section("Training", panels) + _section("Batches", batch_statistics(comparison, training))


def _repeat(comparison: Comparison) -> str:
    return _section("How to repeat", how_to_repeat(comparison))


def _tabs(parts: Sequence[tuple[str, str]]) -> str:
    """Articles with a row of buttons that choose one; without scripts, and on paper, all are shown."""
    buttons = "".join(
        f'<button type="button" role="tab" id="tab-{k}" aria-controls="part-{k}" aria-selected="false">'
        f"{escape(title)}</button>"
        for k, (title, _) in enumerate(parts)
    )
    articles = "\n".join(
        f'<article role="tabpanel" id="part-{k}" aria-labelledby="tab-{k}">'
        f"<h1>{escape(title)}</h1>\n{content}</article>"
        for k, (title, content) in enumerate(parts)
    )
    return f'<div class="tabs" role="tablist" hidden>{buttons}</div>\n{articles}'


def _baseline(comparison: Comparison) -> Experiment | None:
    """The experiment most others were tested against, for the maps of differences."""
    names = [d.baseline for d in comparison.differences]
    name = max(dict.fromkeys(names), key=names.count) if names else "x_x_mono"
    return next((e for e in comparison.experiments if e.label == name), None)


def _section(title: str, content: str) -> str:
    return f"<section>\n<h2>{escape(title)}</h2>\n{content}</section>" if content else ""


def _asset(name: str) -> str:
    return resources.files("hybrid_retrieval.reporting").joinpath(name).read_text("utf-8")
