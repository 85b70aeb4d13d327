"""Published results to hold our own runs against."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml  # type: ignore[import-untyped]

from hybrid_retrieval.reporting.columns import Column, bias_column
from hybrid_retrieval.reporting.runs import SETTINGS, STRATEGY_ORDER

_MEAN = "mean"


@dataclass(frozen=True)
class PaperRow:
    """One published model on one benchmark.

    Attributes:
        strategy: our name of the batch strategy.
        backbone: the publication's name of the encoder.
        source: what to cite.
        means: for each column the published average over languages, 0 to 1 (rank distance: ranks).
        by_language: for each column the same by language of the query; {} where it is not published.
    """

    strategy: str
    backbone: str
    source: str
    means: dict[Column, float]
    by_language: dict[Column, dict[str, float]]

    @property
    def label(self) -> str:
        """For instance "XLM-R hybrid"."""
        return f"{self.backbone} {self.strategy}"


def paper_rows(benchmark: str, columns: Sequence[Column]) -> tuple[PaperRow, ...]:
    """The published rows for a benchmark, by backbone, then strategy.

    Args:
        benchmark: its name, as in metrics.json.
        columns: rows that have a number in none of these are left out.
    """
    return tuple(row for row in _rows(benchmark) if any(column in row.means for column in columns))


def references(rows: Sequence[PaperRow]) -> str:
    """How to cite the rows."""
    return "; ".join(dict.fromkeys(row.source for row in rows))


@cache
def _rows(benchmark: str) -> tuple[PaperRow, ...]:
    text = resources.files("hybrid_retrieval.reporting").joinpath("paper_results.yaml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    rows = []
    for backbone, found in loaded["results"].get(benchmark, {}).items():
        strategies = {name: values for name, values in found.items() if name in STRATEGY_ORDER}
        for strategy, values in sorted(strategies.items(), key=lambda item: STRATEGY_ORDER.index(item[0])):
            columns = {_column(key): numbers for key, numbers in values.items()}
            rows.append(
                PaperRow(
                    strategy=strategy,
                    backbone=backbone,
                    source=loaded["sources"][found["source"]],
                    means={column: float(numbers[_MEAN]) for column, numbers in columns.items()},
                    by_language={
                        column: {x: float(v) for x, v in numbers.items() if x != _MEAN}
                        for column, numbers in columns.items()
                    },
                )
            )
    return tuple(rows)


def _column(key: str) -> Column:
    """The column of a key such as "monolingual/map" or "rank_distance"."""
    setting, _, metric = key.partition("/")
    return Column(setting, metric) if setting in SETTINGS else bias_column(key)
