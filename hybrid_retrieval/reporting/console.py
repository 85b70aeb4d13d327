"""The comparison as a table for an 80-column terminal."""

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hybrid_retrieval.reporting.cells import NONE, cell, paper_cell, seeds_words
from hybrid_retrieval.reporting.columns import RANK_DISTANCE, SETTING_NAMES, Column, metric_name
from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.paper import references
from hybrid_retrieval.reporting.statistics import best


def console_table(comparison: Comparison) -> Table:
    """The main table: further metrics side by side, as monolingual / cross-lingual; spread under the mean."""
    further = _by_metric(comparison.further)
    alone = [c for c in comparison.table if c.metric == RANK_DISTANCE]
    table = Table(
        title=f"{comparison.title}: {comparison.counts_words()}",
        caption="± standard deviation over seeds",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("Strategy", overflow="fold", min_width=15)
    for column in comparison.main:
        table.add_column(column.title.replace(" ", "\n"), justify="right", no_wrap=True)
    for name, columns in further.items():
        settings = "/".join(SETTING_NAMES[c.setting] for c in columns)
        table.add_column(f"{metric_name(name)}\n{settings}", justify="right", no_wrap=True)
    for column in alone:
        table.add_column(column.title.replace(" ", "\n"), justify="right", no_wrap=True)
    table.add_column("Seeds", justify="right", no_wrap=True)
    winners = {column: best(comparison.experiments, column) for column in (*comparison.main, *alone)}
    for e in comparison.experiments:
        bold = {column: "bold green" if e.label in winners[column] else "" for column in winners}
        styled = {column: Text(_two_lines(cell(e, column)), style=bold[column]) for column in winners}
        table.add_row(
            Text(e.label),
            *(styled[column] for column in comparison.main),
            *(_joined(e, columns) for columns in further.values()),
            *(styled[column] for column in alone),
            seeds_words(e),
        )
    if comparison.paper:
        table.add_section()
        table.caption = f"{table.caption}\n* published: {references(comparison.paper)}"
    for row in comparison.paper:
        table.add_row(
            Text(f"{row.label}*", style="italic"),
            *(paper_cell(row, column) for column in comparison.main),
            *("/".join(paper_cell(row, column) for column in columns) for columns in further.values()),
            *(paper_cell(row, column) for column in alone),
            NONE,
        )
    return table


def _by_metric(columns: tuple[Column, ...]) -> dict[str, list[Column]]:
    found: dict[str, list[Column]] = {}
    for column in columns:
        found.setdefault(column.metric, []).append(column)
    return found


def _joined(experiment: Experiment, columns: list[Column]) -> str:
    digits = 2 if len(columns) > 1 else 3
    rounded = [Column(c.setting, c.metric, digits=digits) for c in columns]
    return "/".join(cell(experiment, column, spread=False) for column in rounded)


def _two_lines(text: str) -> str:
    return text.replace(" ± ", "\n±")
