"""The comparison as LaTeX: tables for a paper, in the style of booktabs."""

from collections.abc import Collection, Mapping, Sequence
from itertools import groupby

from hybrid_retrieval.reporting.cells import NONE, paper_cell, seeds_words
from hybrid_retrieval.reporting.columns import SETTING_NAMES, Column, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.differences import Difference
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.paper import references
from hybrid_retrieval.reporting.statistics import best, summary

_ESCAPES = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{",
    "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": r"\textless{}",
    ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}", "±": r"$\pm$", "–": "--", "−": "$-$",
    "×": r"$\times$", "\n": " ",
}  # fmt: skip
_MARKS = (r"\ast", r"\dagger", r"\ddagger", r"\S", r"\P", r"\circ")
_WHERE = {
    "monolingual": "within a language",
    "cross_lingual": "across languages",
    "multilingual": "in the pool of all languages",
}
_HEAD = """\
% Written by `hybrid-retrieval compare`. In the preamble: \\usepackage[T1]{fontenc} \\usepackage{booktabs}
"""


def latex(comparisons: Sequence[Comparison]) -> str:
    """Tables of the metrics and of language bias for each benchmark, to be `\\input` into a document."""
    return _HEAD + "".join("\n" + table for comparison in comparisons for table in _tables(comparison))


def escape(text: str) -> str:
    """Text as LaTeX shows it."""
    return "".join(_ESCAPES.get(character, character) for character in text)


def _tables(comparison: Comparison) -> list[str]:
    where = f"{comparison.title} ({comparison.counts_words()})"
    label = "".join(c if c.isascii() and c.isalnum() else "-" for c in comparison.title)
    tables = [_table(comparison, comparison.table, f"Results on {where}.", f"tab:{label}", seeds=True)]
    if len(comparison.bias_table) > 1:
        tables.append(
            _table(comparison, comparison.bias_table, f"Language bias on {where}.", f"tab:{label}-bias")
        )
    if comparison.decomposition:
        title = f"What stands first in the pool on {where}, as shares of the queries."
        tables.append(_table(comparison, comparison.decomposition, title, f"tab:{label}-first"))
    return tables


def _table(
    comparison: Comparison, columns: Sequence[Column], title: str, label: str, *, seeds: bool = False
) -> str:
    shares = set(columns) <= set(comparison.decomposition)
    winners = {c: set() if shares else best(comparison.experiments, c) for c in columns}
    strategies = {e.label: e.strategy for e in comparison.experiments}
    tested = [d for d in comparison.differences if d.column in columns]
    rivals = dict.fromkeys(strategies[d.baseline] for d in tested)
    marks = dict(zip(rivals, _MARKS, strict=False))
    rows = []
    for e in comparison.experiments:
        own = [(marks[strategies[d.baseline]], d) for d in tested if d.experiment == e.label]
        cells = [_cell(e, c, [(m, d) for m, d in own if d.column == c], winners) for c in columns]
        rows.append(
            " & ".join([escape(e.label), *cells, *([escape(seeds_words(e))] if seeds else [])]) + r" \\"
        )
    published = [row for row in comparison.paper if any(column in row.means for column in columns)]
    if published:
        rows.append(r"\midrule")
    for row in published:
        cells = [escape(paper_cell(row, column)) for column in columns]
        end = [escape(NONE)] if seeds else []
        rows.append(" & ".join([rf"\textit{{{escape(row.label)}}}", *cells, *end]) + r" \\")
    top, below = _heads(columns, seeds=seeds)
    caption = [escape(title), *_explained(columns, marks, {d.column for d in tested}, any_best=not shares)]
    if published:
        caption.append(f"In italics: {escape(references(published))}.")
    return "\n".join(
        [
            r"\begin{table}", r"\centering", r"\small", r"\setlength{\tabcolsep}{4pt}",
            rf"\caption{{{' '.join(caption)}}}", rf"\label{{{label}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(columns) + seeds)}}}", r"\toprule", *top, *below, r"\midrule",
            *rows, r"\bottomrule", r"\end{tabular}", r"\end{table}", "",
        ]
    )  # fmt: skip


def _heads(columns: Sequence[Column], *, seeds: bool) -> tuple[list[str], list[str]]:
    """Two rows: the metric over its settings with a rule under it, then the settings."""
    top, rules, below, position = [""], [], [""], 2
    for name, group in groupby(columns, key=lambda c: c.title if c.is_bias else metric_name(c.metric)):
        members = list(group)
        if members[0].is_bias:
            top += [""] * len(members)
            arrow = {True: r" $\uparrow$", False: r" $\downarrow$", None: ""}[members[0].higher_is_better]
            below.append(f"{escape(name)}{arrow}")
        else:
            top.append(rf"\multicolumn{{{len(members)}}}{{c}}{{{escape(name)}}}")
            rules.append(rf"\cmidrule(lr){{{position}-{position + len(members) - 1}}}")
            below += [SETTING_NAMES[c.setting] for c in members]
        position += len(members)
    end = ["Seeds"] if seeds else []
    first = [" & ".join([*top, *([""] if seeds else [])]) + r" \\", "".join(rules)] if rules else []
    return first, [" & ".join(["Strategy", *below[1:], *end]) + r" \\"]


def _cell(
    experiment: Experiment,
    column: Column,
    tests: Sequence[tuple[str, Difference]],
    winners: Mapping[Column, set[str]],
) -> str:
    found = summary(experiment, column)
    if found is None:
        return "--"
    text = column.format(found.mean)
    if experiment.label in winners[column]:
        text = rf"\textbf{{{text}}}"
    significant = [f"({mark})" if d.within_seed_spread else mark for mark, d in tests if d.significant]
    if significant:
        text += f"$^{{{''.join(significant)}}}$"
    return text if found.std is None else rf"{text} {{\scriptsize$\pm${column.format(found.std)}}}"


def _explained(
    columns: Sequence[Column], marks: Mapping[str, str], tested: Collection[Column], *, any_best: bool
) -> list[str]:
    """Sentences of the caption: what the heads, the bold print and the marks mean."""
    parts = []
    settings = {c.setting for c in columns}
    names = [f"{SETTING_NAMES[s]}: {text}" for s, text in _WHERE.items() if s in settings]
    if names:
        parts.append("; ".join(names) + ".")
    bold = "; best in bold" if any_best else ""
    parts.append(rf"Means over languages, {{\scriptsize$\pm$}} standard deviation over seeds{bold}.")
    lower = [c.title for c in columns if c.higher_is_better is False]
    if lower and any_best:
        parts.append(f"Lower is better for {escape(', '.join(lower))}.")
    if marks:
        told = ", ".join(f"${mark}$ {escape(rival)}" for rival, mark in marks.items())
        parts.append(
            "Significantly different ($p < 0.05$, paired randomisation test, Holm's correction) from: "
            f"{told}; in parentheses where the difference is within the spread of seeds."
        )
        untested = [c.title if c.is_bias else metric_name(c.metric) for c in columns if c not in tested]
        if untested:
            parts.append(f"Not tested: {escape(', '.join(dict.fromkeys(untested)))}.")
    return parts
