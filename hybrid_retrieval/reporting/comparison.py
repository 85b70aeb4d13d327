"""What a comparison of runs consists of; the tables, the page and the picture are views of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.results import PER_QUERY_FILE
from hybrid_retrieval.reporting.differences import Difference, choose_pairs, paired_differences
from hybrid_retrieval.reporting.experiments import Experiment, group_runs
from hybrid_retrieval.reporting.paper import PaperRow, paper_rows
from hybrid_retrieval.reporting.per_query import has_per_query
from hybrid_retrieval.reporting.runs import STRATEGY_ORDER, UNTRAINED, Run, find_runs
from hybrid_retrieval.reporting.statistics import check_metric


@dataclass(frozen=True)
class Comparison:
    """Experiments on one benchmark, and which of their differences are significant.

    Attributes:
        experiments: ordered by strategy, untrained first.
        metric: the metric of the three main columns, a key of metrics.json such as "map".
        differences: all the tests made; Holm's correction runs over exactly these.
        untested: labels of the experiments that have no per-query results, and so no tests.
        paper: published rows to show beside ours.
    """

    experiments: tuple[Experiment, ...]
    metric: str
    differences: tuple[Difference, ...]
    untested: tuple[str, ...]
    paper: tuple[PaperRow, ...]

    @property
    def benchmark(self) -> str:
        """Name of the benchmark, the same for every run."""
        return self.first.benchmark

    @property
    def first(self) -> Run:
        """A run to read what all share from."""
        return self.experiments[0].runs[0]

    @property
    def languages(self) -> list[str]:
        """Languages of the benchmark."""
        return sorted(self.first.metrics["per_language"])

    @property
    def trained(self) -> list[Experiment]:
        """The experiments that were trained by us."""
        return [e for e in self.experiments if e.strategy != UNTRAINED]

    def counts_words(self) -> str:
        """For instance "13,090 queries in 11 languages, 13,014 candidates"."""
        counts = self.first.metrics["counts"]
        queries = sum(counts["queries"].values())
        return f"{queries:,} queries in {len(counts['queries'])} languages, {counts['pool']:,} candidates"

    def caveats(self) -> list[str]:
        """What a reader must know before believing the table, in words."""
        notes = []
        if self.untested:
            notes.append(
                f"Not tested for significance, for want of {PER_QUERY_FILE}: {', '.join(self.untested)}."
            )
        single = [e.label for e in self.experiments if len(e.seeds) == 1]
        if single:
            which = "every strategy" if len(single) == len(self.trained) else ", ".join(single)
            notes.append(
                f"One seed only, so the spread over seeds is unknown: {which}. The tests are over queries; "
                "they do not tell how far another seed would move the numbers."
            )
        return notes


def compare_runs(
    folders: Sequence[Path],
    *,
    metric: str = "map",
    baseline: str = "x_x_mono",
    benchmark: str | None = None,
    paper: bool = False,
) -> Comparison:
    """Read, group and test runs.

    Args:
        folders: run folders or folders of runs.
        metric: of the three main columns, a key of metrics.json.
        baseline: the strategy the others are tested against.
        benchmark: leave runs on other benchmarks out.
        paper: put the published rows beside ours, where the paper reports the benchmark and metric.

    Raises:
        UserError: no runs, unreadable or incomparable runs, unknown metric, baseline or strategy.
    """
    if baseline not in STRATEGY_ORDER:
        raise UserError(f"baseline={baseline}: no such strategy. Choose one of {', '.join(STRATEGY_ORDER)}.")
    experiments = group_runs(find_runs(folders, benchmark))
    check_metric([run for experiment in experiments for run in experiment.runs], metric)
    return Comparison(
        experiments=tuple(experiments),
        metric=metric,
        differences=tuple(paired_differences(choose_pairs(experiments, baseline), metric)),
        untested=tuple(e.label for e in experiments if not has_per_query(e.runs)),
        paper=paper_rows(experiments[0].runs[0].benchmark) if paper and metric == "map" else (),
    )
