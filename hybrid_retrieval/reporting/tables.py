"""The comparison as Markdown, as long CSV and as a table for the terminal."""

import csv
import io
import math
import re
from collections.abc import Iterator

from rich.box import SIMPLE_HEAD
from rich.table import Table
from rich.text import Text

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.differences import SAMPLES, words
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.paper import PaperRow, reference
from hybrid_retrieval.reporting.runs import SETTINGS
from hybrid_retrieval.reporting.statistics import (
    LANGUAGE_BIAS,
    RANK_DISTANCE_COLUMN,
    Column,
    best,
    metric_name,
    summary,
    table_columns,
)
from hybrid_retrieval.reporting.summary import summary_sentences

CSV_HEADER = ("benchmark", "strategy", "experiment", "setting", "metric", "mean", "std", "n")


def cell(experiment: Experiment, column: Column, *, spread: bool = True) -> str:
    """Mean, and ± the standard deviation over seeds where there are several: "0.705 ± 0.003"."""
    found = summary(experiment, column)
    if found is None:
        return "n/a"
    text = column.format(found.mean)
    return f"{text} ± {column.format(found.std)}" if spread and found.std is not None else text


def paper_cell(row: PaperRow, column: Column, metric: str) -> str:
    """The paper's number for the column, or a dash where the paper gives none."""
    if column == RANK_DISTANCE_COLUMN:
        return f"{row.rank_distance:.0f}"
    return f"{row.map[column.setting]:.3f}" if column.metric == metric else "–"


def seeds_words(experiment: Experiment) -> str:
    """How many seeds the row's mean is over; a dash for a model without training."""
    return str(len(experiment.seeds)) if experiment.seeds else "–"


def markdown(comparison: Comparison) -> str:
    """The summary, the table with the best values in bold, and every tested difference in words."""
    columns = table_columns(comparison.metric)
    winners = {column: best(comparison.experiments, column) for column in columns}
    lines = [
        f"# Comparison on {_escape(comparison.benchmark)}",
        "",
        _escape(" ".join(summary_sentences(comparison))),
        "",
        "| Strategy | " + " | ".join(column.title for column in columns) + " | Seeds |",
        "| --- |" + " ---: |" * (len(columns) + 1),
    ]
    for e in comparison.experiments:
        cells = [
            f"**{cell(e, column)}**" if e.label in winners[column] else cell(e, column) for column in columns
        ]
        lines.append(f"| {_escape(e.label)} | " + " | ".join(cells) + f" | {seeds_words(e)} |")
    for row in comparison.paper:
        cells = [paper_cell(row, column, comparison.metric) for column in columns]
        lines.append(f"| *paper, {row.backbone}: {_escape(row.strategy)}* | " + " | ".join(cells) + " | – |")
    lines += ["", legend(comparison), "", "## Which differences are significant", ""]
    lines += [f"- {_escape(words(d))}" for d in comparison.differences] or ["Nothing was tested."]
    lines += ["", tests_explained(comparison), ""]
    lines += [f"- {_escape(note)}" for note in comparison.caveats()]
    return "\n".join(lines).rstrip() + "\n"


def legend(comparison: Comparison) -> str:
    """What the columns mean, in two or three sentences."""
    text = (
        "Mo: queries of a language against the candidates of that language; Cr: against those of another "
        "language; Mul: against the pool of all languages. Means over languages, ± standard deviation over "
        "seeds; the best of our rows in bold. Higher is better; for rank distance, in ranks, lower is."
    )
    if comparison.paper:
        text += f" Rows of the paper: {reference()}; its backbones and training data differ from ours."
    return text


def tests_explained(comparison: Comparison) -> str:
    """How the tests were made."""
    metric = "average precision" if comparison.metric == "map" else metric_name(comparison.metric)
    return (
        f"{len(comparison.differences)} paired randomisation tests (two-sided, {SAMPLES:,} sign flips) on "
        f"the {metric} of each query and on its rank distance, averaged over seeds; a question and its "
        "translations are one unit. Significant: p < 0.05 after Holm's correction over all of them; within "
        "the spread of seeds: below two standard errors of the difference over seeds. Intervals: bootstrap "
        "over units, 95 %, not corrected."
    )


def csv_table(comparison: Comparison) -> str:
    """One row per (experiment, setting, metric): mean, standard deviation over seeds, number of runs."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_HEADER)
    writer.writerows(_csv_rows(comparison))
    return buffer.getvalue()


def _csv_rows(comparison: Comparison) -> Iterator[tuple[object, ...]]:
    for e in comparison.experiments:
        for setting in (*SETTINGS, LANGUAGE_BIAS):
            for metric in e.runs[0].metrics[setting]:
                found = summary(e, Column(setting, metric))
                if found is not None and math.isfinite(found.mean):
                    yield (
                        comparison.benchmark, e.strategy, e.label, setting, metric,
                        repr(found.mean), "" if found.std is None else repr(found.std), found.n,
                    )  # fmt: skip


def console_table(comparison: Comparison) -> Table:
    """The table for an 80-column terminal: recall as monolingual / cross-lingual, spread under the mean."""
    main = [Column(setting, comparison.metric) for setting in SETTINGS]
    table = Table(
        title=f"{comparison.benchmark}: {comparison.counts_words()}",
        caption="± standard deviation over seeds; R@k: Mo/Cr",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    table.add_column("Strategy", overflow="fold", min_width=15)
    for column in main:
        table.add_column(column.title.replace(" ", "\n"), justify="right", no_wrap=True)
    for name in ("recall@1", "recall@10"):
        table.add_column(f"{metric_name(name)}\nMo/Cr", justify="right", no_wrap=True)
    table.add_column("Rank\ndistance", justify="right", no_wrap=True)
    table.add_column("Seeds", justify="right", no_wrap=True)
    winners = {column: best(comparison.experiments, column) for column in (*main, RANK_DISTANCE_COLUMN)}
    for e in comparison.experiments:
        bold = {column: "bold green" if e.label in winners[column] else "" for column in winners}
        recalls = [
            "/".join(cell(e, Column(setting, name, digits=2), spread=False) for setting in SETTINGS[:2])
            for name in ("recall@1", "recall@10")
        ]
        table.add_row(
            Text(e.label),
            *(Text(_two_lines(cell(e, column)), style=bold[column]) for column in main),
            *recalls,
            Text(_two_lines(cell(e, RANK_DISTANCE_COLUMN)), style=bold[RANK_DISTANCE_COLUMN]),
            seeds_words(e),
        )
    if comparison.paper:
        table.add_section()
        table.caption = f"{table.caption}\n* published: {reference()}"
    for row in comparison.paper:
        numbers = [paper_cell(row, column, comparison.metric) for column in main]
        table.add_row(
            Text(f"{row.backbone} {row.strategy}*", style="italic"),
            *numbers, "–", "–", paper_cell(row, RANK_DISTANCE_COLUMN, comparison.metric), "–",
        )  # fmt: skip
    return table


def _two_lines(text: str) -> str:
    return text.replace(" ± ", "\n±")


def _escape(text: str) -> str:
    """Text as Markdown shows it; an underscore within a word needs no escape."""
    text = text.replace("<", "&lt;").replace(">", "&gt;").replace("\n", " ")
    return re.sub(r"[\\|*`\[]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", r"\\\g<0>", text)
