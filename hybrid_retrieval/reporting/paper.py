"""The published results of hybrid batch training (arXiv 2408.10536) to hold our own runs against."""

from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import yaml  # type: ignore[import-untyped]

from hybrid_retrieval.reporting.runs import SETTINGS, STRATEGY_ORDER


@dataclass(frozen=True)
class PaperRow:
    """One row of the paper's tables for a benchmark with parallel candidates.

    Attributes:
        strategy: our name of the batch strategy.
        backbone: the paper's name of the encoder.
        map: mean average precision per setting, 0 to 1, averaged over languages.
        rank_distance: ranks, averaged over queries and languages; lower is better.
    """

    strategy: str
    backbone: str
    map: dict[str, float]
    rank_distance: float


def reference() -> str:
    """How to cite the numbers."""
    loaded = _load()
    return f"arXiv {loaded['arxiv']}, Tables {loaded['tables']}"


def paper_rows(benchmark: str) -> tuple[PaperRow, ...]:
    """The paper's rows for a benchmark, by backbone, then strategy; none where it has no mAP."""
    rows = [
        PaperRow(
            strategy=strategy,
            backbone=backbone,
            map={setting: values[setting] for setting in SETTINGS},
            rank_distance=values["rank_distance"],
        )
        for backbone, strategies in _load()["results"].get(benchmark, {}).items()
        for strategy, values in sorted(strategies.items(), key=lambda item: STRATEGY_ORDER.index(item[0]))
        if "rank_distance" in values
    ]
    return tuple(rows)


@cache
def _load() -> dict[str, Any]:
    text = resources.files("hybrid_retrieval.reporting").joinpath("paper_results.yaml").read_text("utf-8")
    loaded: dict[str, Any] = yaml.safe_load(text)
    return loaded
