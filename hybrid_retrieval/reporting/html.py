"""The report: one HTML file that needs nothing else, not even a network."""

from collections.abc import Sequence
from html import escape
from importlib import resources

from hybrid_retrieval.reporting import bias_charts, charts
from hybrid_retrieval.reporting.alpha_charts import alpha_section
from hybrid_retrieval.reporting.batch_statistics import batch_statistics
from hybrid_retrieval.reporting.beside_paper import paper_table
from hybrid_retrieval.reporting.comparability import box
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.confusion_maps import confusion_panels
from hybrid_retrieval.reporting.cost import costs
from hybrid_retrieval.reporting.heat_map_section import heat_maps
from hybrid_retrieval.reporting.how_to_repeat import how_to_repeat
from hybrid_retrieval.reporting.html_tables import (
    bias_table,
    cost_table,
    differences_table,
    language_table,
    main_table,
    overview_table,
)
from hybrid_retrieval.reporting.intervals import Tables
from hybrid_retrieval.reporting.language_charts import change_panels, language_panels, seen_unseen
from hybrid_retrieval.reporting.overview import together
from hybrid_retrieval.reporting.palette import css
from hybrid_retrieval.reporting.panels import languages_key, legend
from hybrid_retrieval.reporting.summary import further_sentences, summary_sentences
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
_SEEDS = (
    "<p class='note-box'>Dots are means over seeds, rings single seeds, whiskers one standard deviation over "
    "seeds.</p>"
)


def report(comparisons: Sequence[Comparison]) -> str:
    """The whole page, a tab for each benchmark. Texts from files are escaped; equal input gives equal bytes.

    Raises:
        UserError: a train_metrics.csv or a file under .hydra cannot be read.
    """
    warning = box(comparisons)
    if len(comparisons) == 1:
        (only,) = comparisons
        title = f"Batch strategies compared on {only.title}"
        sections = [*_benchmark(only), *_training(only), *_repeat(only)]
        body = f"<h1>{escape(title)}</h1>\n{warning}{_head(only)}{_joined(sections, 'part')}"
    else:
        title = f"Batch strategies compared on {len(comparisons)} benchmarks"
        parts = [
            (c.title, _head(c) + _joined([*_benchmark(c), *_repeat(c)], f"part{k}"))
            for k, c in enumerate(comparisons)
        ]
        trained = _joined(_training(together(comparisons)), "training")
        parts += [("Training", trained)] if trained else []
        body = f"<h1>{escape(title)}</h1>\n{warning}{overview_table(comparisons)}{_tabs(parts)}"
    style = f"{_asset('report.css')}{css([*comparisons, together(comparisons)])}"
    return (
        "<!doctype html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        f"<title>{escape(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n<script>\n{_asset('report.js')}</script>\n</body>\n</html>\n"
    )


Section = tuple[str, str]
"""Heading and content; a section without content is left out."""


def _head(comparison: Comparison) -> str:
    """What was evaluated on, and the three sentences."""
    told = "".join(f"<p>{escape(sentence)}</p>" for sentence in summary_sentences(comparison))
    return f'<p class="under">{escape(comparison.counts_words())}</p>\n<div class="summary">{told}</div>\n'


def _benchmark(comparison: Comparison) -> list[Section]:
    """All sections on one benchmark but those on the training and on how to repeat it."""
    tables = Tables(comparison)
    further = "".join(f"<p>{escape(sentence)}</p>" for sentence in further_sentences(comparison))
    return [
        ("Results", main_table(comparison) + _strategies_explained(comparison)),
        ("Beside the paper", paper_table(comparison)),
        ("Alpha: where the trade-off bends", alpha_section(comparison)),
        ("Which differences are significant", further + differences_table(comparison)),
        ("Retrieval by setting", _SEEDS + charts.setting_panels(comparison)),
        ("Language bias", _language_bias(comparison)),
        ("Language by language", _languages(comparison, tables)),
        ("Languages seen and unseen in training", seen_unseen(comparison, tables)),
        ("Query language by document language", heat_maps(comparison)),
        ("In which languages the first candidates are", confusion_panels(comparison)),
    ]


def _language_bias(comparison: Comparison) -> str:
    return (
        bias_table(comparison)
        + bias_charts.bias_panels(comparison)
        + bias_charts.decomposition_panel(comparison)
        + bias_charts.document_language_panels(comparison)
    )


def _languages(comparison: Comparison, intervals: Tables) -> str:
    panels = language_panels(comparison, intervals)
    if not panels:
        return ""
    tables = "".join(
        f"<details><summary>{escape(column.title)} by language as a table</summary>"
        f"{language_table(comparison, column)}</details>\n"
        for column in comparison.main
    )
    key = languages_key(comparison.languages)
    return key + panels + tables + change_panels(comparison, intervals)


def _strategies_explained(comparison: Comparison) -> str:
    present = dict.fromkeys(e.strategy for e in comparison.experiments)
    items = [
        f"<li><b>{escape(strategy)}</b>: {escape(STRATEGY_WORDS[strategy])}</li>"
        for strategy in present
        if strategy in STRATEGY_WORDS
    ]
    return f"<ul>{''.join(items)}</ul>" if items else ""


def _training(comparison: Comparison) -> list[Section]:
    """The sections on what was logged while the models were trained, and on what it cost."""
    training = {run: read_training(run.training_folder) for run in comparison.runs if run.training}
    panels = charts.curve_panels(comparison, training)
    if panels:
        panels = legend(comparison, comparison.trained, toggles=True) + panels
    found = costs(comparison, training)
    return [
        ("Training", panels),
        ("Batches", batch_statistics(comparison, training)),
        ("Cost", cost_table(found) if found else ""),
    ]


def _repeat(comparison: Comparison) -> list[Section]:
    return [("How to repeat", how_to_repeat(comparison))]


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


def _joined(sections: Sequence[Section], prefix: str) -> str:
    """The sections that have content, under a list of links to them; `prefix` begins their ids."""
    shown = [(f"{prefix}-{k}", title, content) for k, (title, content) in enumerate(sections) if content]
    links = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in shown)
    contents = f'<nav class="contents" aria-label="Contents"><ul>{links}</ul></nav>\n' if shown else ""
    return contents + "\n".join(
        f'<section id="{name}">\n<h2>{escape(title)}</h2>\n{content}</section>'
        for name, title, content in shown
    )


def _asset(name: str) -> str:
    return resources.files("hybrid_retrieval.reporting").joinpath(name).read_text("utf-8")
