"""Language by language as LaTeX, in the layout of the paper: strategies in rows, languages in columns."""

from collections.abc import Sequence

from hybrid_retrieval.reporting.cells import NONE
from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, Column
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.intervals import shown_columns
from hybrid_retrieval.reporting.language_names import language_name
from hybrid_retrieval.reporting.latex import escape
from hybrid_retrieval.reporting.paper import references
from hybrid_retrieval.reporting.statistics import language_summary, summary

_HEAD = """\
% Written by `hybrid-retrieval compare`. In the preamble: \\usepackage[T1]{fontenc} \\usepackage{booktabs}
"""


def latex_languages(comparisons: Sequence[Comparison]) -> str:
    """A table over the width of the page for each setting and for rank distance, to be `\\input`."""
    tables = [
        _table(comparison, column)
        for comparison in comparisons
        if len(comparison.languages) > 1
        for column in shown_columns(comparison)
    ]
    return _HEAD + "".join(f"\n{table}" for table in tables)


def _table(comparison: Comparison, column: Column) -> str:
    languages = comparison.languages
    values = {
        e.label: [
            *((s.mean if (s := language_summary(e, code, column)) else None) for code in languages),
            s.mean if (s := summary(e, column)) else None,
        ]
        for e in comparison.experiments
    }
    best = [_best([of[k] for of in values.values()], column) for k in range(len(languages) + 1)]
    rows = []
    for label, of in values.items():
        cells = [_cell(value, column, top) for value, top in zip(of, best, strict=True)]
        rows.append(" & ".join([escape(label), *cells]) + r" \\")
    published = [row for row in comparison.paper if row.by_language.get(column)]
    rows += [r"\midrule"] if published else []
    for row in published:
        numbers = [*(row.by_language[column].get(code) for code in languages), row.means.get(column)]
        cells = [_cell(number, column, "") for number in numbers]
        rows.append(" & ".join([rf"\textit{{{escape(row.label)}}}", *cells]) + r" \\")
    names = "; ".join(f"{code}: {language_name(code)}" for code in languages)
    direction = f" ({column.direction})" if column.direction else ""
    caption = (
        f"{column.words[0].upper()}{column.words[1:]} on {comparison.title} by language of the query"
        f"{direction}, mean over seeds; best in bold. {names}."
    )
    source = f" In italics: {references(published)}." if published else ""
    label = "".join(c if c.isascii() and c.isalnum() else "-" for c in comparison.title)
    return "\n".join(
        [
            r"\begin{table*}", r"\centering", r"\small", r"\setlength{\tabcolsep}{3pt}",
            rf"\caption{{{escape(caption + source)}}}",
            rf"\label{{tab:{label}-languages-{column.setting.replace('_', '-')}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(languages) + 1)}}}", r"\toprule",
            " & ".join(["Strategy", *(escape(code) for code in languages), "mean"]) + r" \\", r"\midrule",
            *rows, r"\bottomrule", r"\end{tabular}", r"\end{table*}", "",
        ]
    )  # fmt: skip


def _best(values: Sequence[float | None], column: Column) -> str:
    """The best value as it is shown; "" where nothing is beaten."""
    known = [v for v in values if v is not None]
    if len({_text(v, column) for v in known}) < 2 or column.higher_is_better is None:
        return ""
    return _text(max(known) if column.higher_is_better else min(known), column)


def _cell(value: float | None, column: Column, best: str) -> str:
    if value is None:
        return escape(NONE)
    text = _text(value, column)
    return rf"\textbf{{{text}}}" if text == best else text


def _text(value: float, column: Column) -> str:
    """Rank distance in whole ranks, other values without their leading zero."""
    return f"{value:.0f}" if column == RANK_DISTANCE_COLUMN else f"{value:.3f}".removeprefix("0")
