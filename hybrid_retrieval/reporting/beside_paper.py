"""Table 1 of these runs beside the paper's: the three strategies, and what each changes against x_x_mono."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

from hybrid_retrieval.reporting.cells import NONE
from hybrid_retrieval.reporting.columns import RANK_DISTANCE_COLUMN, SETTING_NAMES, Column, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.differences import partner
from hybrid_retrieval.reporting.experiments import Experiment, constant_alpha
from hybrid_retrieval.reporting.focus import contender
from hybrid_retrieval.reporting.paper import PaperRow, paper_rows, references
from hybrid_retrieval.reporting.statistics import summary

BASELINE, OTHERS = "x_x_mono", ("x_y", "hybrid")
STAND_IN = "xquad_r"
"""The benchmark of the paper that a benchmark which the paper lacks is set beside."""
_PAPER_ALPHA = 0.5


@dataclass(frozen=True)
class Block:
    """One table of the comparison: our runs, or the paper's with one backbone.

    Attributes:
        title: names the source.
        rows: strategy to its means by column.
    """

    title: str
    rows: Mapping[str, Mapping[Column, float]]

    def change(self, strategy: str, column: Column) -> float | None:
        """The strategy minus x_x_mono."""
        ours, theirs = self.rows.get(strategy, {}).get(column), self.rows.get(BASELINE, {}).get(column)
        return None if ours is None or theirs is None else ours - theirs


def blocks(comparison: Comparison) -> tuple[list[Column], list[Block], tuple[PaperRow, ...]]:
    """The columns, our block and the paper's, and the published rows; all empty without a counterpart."""
    columns = [*comparison.main, *(c for c in comparison.bias if c == RANK_DISTANCE_COLUMN)]
    published = paper_rows(comparison.benchmark, columns) or paper_rows(STAND_IN, columns)
    published = tuple(row for row in published if row.strategy in {BASELINE, *OTHERS})
    ours = {e.strategy: _means(e, columns) for e in _chosen(comparison)}
    if not published or len(ours) < 2:
        return [], [], ()
    columns = [c for c in columns if any(c in row.means for row in published)]
    here = paper_rows(comparison.benchmark, columns)
    where = comparison.benchmark if here else STAND_IN
    found = [Block(f"These runs, {comparison.title}", ours)]
    for backbone in dict.fromkeys(row.backbone for row in published):
        rows = {row.strategy: row.means for row in published if row.backbone == backbone}
        if "hybrid" in rows:
            found.append(Block(f"Paper, {backbone}, {where}", rows))
    return (
        columns,
        found,
        tuple(row for row in published if f"Paper, {row.backbone}, {where}" in {b.title for b in found}),
    )


def paper_table(comparison: Comparison) -> str:
    """The table, and a sentence on whether the strategies move the measures the way they do in the paper."""
    columns, found, published = blocks(comparison)
    if not found:
        return ""
    tables = "".join(_table(block, columns) for block in found)
    notes = [
        *agreements(columns, found),
        "Under each number: the change against x_x_mono of the same source. "
        + _which_hybrid(comparison)
        + f" Published: {references(published)}.",
    ]
    if not paper_rows(comparison.benchmark, columns):
        notes.append(
            f"The paper has no {comparison.benchmark}; its {STAND_IN} stands here instead. Compare the signs "
            "of the changes, never the scores: benchmark, data and backbone differ."
        )
    return f'<div class="beside">{tables}</div>\n' + "".join(
        f"<p class='note-box'>{escape(note)}</p>\n" for note in notes
    )


def _table(block: Block, columns: Sequence[Column]) -> str:
    heads = "".join(f'<th scope="col">{escape(_head(c))}</th>' for c in columns)
    rows = [
        f'<tr><th scope="row">{escape(strategy)}</th>'
        + "".join(_cell(block, strategy, c) for c in columns)
        + "</tr>"
        for strategy in (BASELINE, *OTHERS)
        if strategy in block.rows
    ]
    return (
        f'<div class="scroll"><table><caption>{escape(block.title)}</caption>'
        f'<thead><tr><th scope="col">Strategy</th>{heads}</tr></thead>\n'
        f"<tbody>{chr(10).join(rows)}</tbody></table></div>\n"
    )


def agreements(columns: Sequence[Column], found: Sequence[Block]) -> list[str]:
    """For each backbone of the paper: in how many cells ours changes in the same direction."""
    ours, sentences = found[0], []
    for theirs in found[1:]:
        same, other = 0, []
        for strategy in OTHERS:
            for column in columns:
                a, b = ours.change(strategy, column), theirs.change(strategy, column)
                if a is None or b is None:
                    continue
                if math.copysign(1, a) == math.copysign(1, b) and a and b:
                    same += 1
                else:
                    other.append(f"{strategy} {_head(column)}")
        if same or other:
            told = f"; otherwise in {', '.join(other)}" if other else ""
            sentences.append(
                f"{theirs.title}: against x_x_mono our runs change in the same direction in {same} of "
                f"{same + len(other)} cells{told}."
            )
    return sentences


def _chosen(comparison: Comparison) -> list[Experiment]:
    """Hybrid with the paper's alpha of 0.5, else the best; and its two parents."""
    hybrids = [e for e in comparison.trained if e.strategy == "hybrid"]
    halves = [e for e in hybrids if constant_alpha(e) == _PAPER_ALPHA]
    hybrid = halves[0] if len(halves) == 1 else contender(comparison)[0] if hybrids else None
    if hybrid is None:
        singles = [[e for e in comparison.trained if e.strategy == s] for s in (BASELINE, *OTHERS)]
        return [of[0] for of in singles if len(of) == 1]
    parents = [partner(hybrid, comparison.experiments, s) for s in (BASELINE, OTHERS[0])]
    return [e for e in (*parents, hybrid) if e is not None]


def _means(experiment: Experiment, columns: Sequence[Column]) -> dict[Column, float]:
    return {c: s.mean for c in columns if (s := summary(experiment, c)) is not None}


def _head(column: Column) -> str:
    if column == RANK_DISTANCE_COLUMN:
        return "Rank distance"
    return f"{metric_name(column.metric)} {SETTING_NAMES[column.setting]}"


def _cell(block: Block, strategy: str, column: Column) -> str:
    found, change = block.rows[strategy].get(column), block.change(strategy, column)
    if found is None:
        return f"<td>{NONE}</td>"
    digits = 0 if column == RANK_DISTANCE_COLUMN else 3
    beside = ""
    if strategy != BASELINE and change is not None:
        good = change < 0 if column.higher_is_better is False else change > 0
        css = "yes" if good else "worse"
        beside = f'<br><span class="change {css}">{change:+.{digits}f}</span>'
    return f"<td>{found:,.{digits}f}{beside}</td>"


def _which_hybrid(comparison: Comparison) -> str:
    hybrid = next((e for e in _chosen(comparison) if e.strategy == "hybrid"), None)
    alpha = None if hybrid is None else constant_alpha(hybrid)
    return "" if alpha is None else f"Our hybrid has alpha = {alpha:g}, the paper's {_PAPER_ALPHA:g}."
