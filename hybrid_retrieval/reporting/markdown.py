"""The comparison as Markdown."""

import re
from collections.abc import Sequence

from hybrid_retrieval.reporting.alpha import alpha_sweeps, bend, trade_offs
from hybrid_retrieval.reporting.cells import (
    NONE,
    bias_legend,
    cell,
    legend,
    paper_cell,
    seeds_words,
    shown,
    tests_explained,
)
from hybrid_retrieval.reporting.columns import RANK_DISTANCE, Column
from hybrid_retrieval.reporting.comparability import not_comparable
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.difference_words import words
from hybrid_retrieval.reporting.overview import overview
from hybrid_retrieval.reporting.paper import PaperRow
from hybrid_retrieval.reporting.statistics import best, language_summary
from hybrid_retrieval.reporting.summary import further_sentences, summary_sentences


def markdown(comparisons: Sequence[Comparison]) -> str:
    """For each benchmark the summary, the tables with the best values in bold, every difference in words."""
    if len(comparisons) == 1:
        (comparison,) = comparisons
        lines = [f"# Comparison on {_escape(comparison.title)}", "", *_sections(comparison, "##")]
    else:
        heads, rows = overview(comparisons)
        table = [[label, *(_bold(text, mark) for text, mark in cells)] for label, cells in rows]
        lines = [f"# Comparison on {len(comparisons)} benchmarks", "", *_table(heads, table), ""]
        lines += [f"- {_escape(sentence)}" for sentence in not_comparable(comparisons)]
        for comparison in comparisons:
            lines += ["", f"## {_escape(comparison.title)}", "", *_sections(comparison, "###")]
    return "\n".join(lines).rstrip() + "\n"


def _sections(comparison: Comparison, level: str) -> list[str]:
    lines = [_escape(" ".join(summary_sentences(comparison))), ""]
    lines += _experiments_table(comparison, comparison.table, seeds=True)
    lines += ["", legend(comparison), ""]
    if comparison.bias_table and [c.metric for c in comparison.bias] != [RANK_DISTANCE]:
        lines += [f"{level} Language bias", "", *_experiments_table(comparison, comparison.bias_table), ""]
        lines += [f"- {_escape(line)}" for line in bias_legend(comparison.bias_table)]
        lines.append("")
    if comparison.decomposition:
        lines += ["What stands first, as shares of the queries:", ""]
        lines += [*_experiments_table(comparison, comparison.decomposition, mark_best=False), ""]
    bends = [
        bend(sweep, gain, cost).words
        for sweep in alpha_sweeps(comparison)
        for gain, cost in trade_offs(comparison)
    ]
    if bends:
        lines += [f"{level} Alpha", "", *(f"- {_escape(text)}" for text in bends), ""]
    lines += [f"{level} Which differences are significant", ""]
    for sentence in further_sentences(comparison):
        lines += [_escape(sentence), ""]
    lines += [f"- {_escape(words(d))}" for d in comparison.differences] or ["Nothing was tested."]
    lines += ["", tests_explained(comparison), ""] if comparison.differences else [""]
    lines += [*(f"- {_escape(note)}" for note in comparison.caveats()), ""]
    if len(comparison.languages) > 1:
        lines += [f"{level} Language by language", ""]
        for column in comparison.main:
            lines += [f"{column.title}, by language of the query:", "", *_languages(comparison, column), ""]
    return lines


def _experiments_table(
    comparison: Comparison, columns: Sequence[Column], *, seeds: bool = False, mark_best: bool = True
) -> list[str]:
    """A row an experiment, and below them the published rows that have one of the numbers."""
    winners = {c: best(comparison.experiments, c) if mark_best else set() for c in columns}
    end = ["Seeds"] if seeds else []
    rows = [
        [
            _escape(e.label),
            *(_bold(cell(e, column), e.label in winners[column]) for column in columns),
            *([seeds_words(e)] if seeds else []),
        ]
        for e in comparison.experiments
    ]
    for row in comparison.paper:
        if any(column in row.means for column in columns):
            cells = [paper_cell(row, column) for column in columns]
            rows.append(
                [f"*paper, {_escape(row.backbone)}: {_escape(row.strategy)}*", *cells, *([NONE] * seeds)]
            )
    return _table(["Strategy", *(column.title for column in columns), *end], rows, escaped=True)


def _languages(comparison: Comparison, column: Column) -> list[str]:
    rows = []
    for e in comparison.experiments:
        found = [language_summary(e, language, column) for language in comparison.languages]
        rows.append(
            [_escape(e.label), *(NONE if s is None else shown(s, column, spread=False) for s in found)]
        )
    for row in comparison.paper:
        numbers = row.by_language.get(column, {})
        if numbers:
            cells = [f"{numbers[x]:.3f}" if x in numbers else NONE for x in comparison.languages]
            rows.append([_paper_label(row), *cells])
    return _table(["Strategy", *comparison.languages], rows, escaped=True)


def _paper_label(row: PaperRow) -> str:
    return f"*paper, {_escape(row.backbone)}: {_escape(row.strategy)}*"


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, escaped: bool = False) -> list[str]:
    lines = [
        "| " + " | ".join(_escape(head) for head in heads) + " |",
        "| --- |" + " ---: |" * (len(heads) - 1),
    ]
    for first, *others in rows:
        lines.append("| " + " | ".join([first if escaped else _escape(first), *others]) + " |")
    return lines


def _bold(text: str, bold: bool) -> str:
    return f"**{text}**" if bold else text


def _escape(text: str) -> str:
    """Text as Markdown shows it; an underscore within a word needs no escape."""
    text = text.replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return re.sub(r"[\\|*`\[]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", text)
