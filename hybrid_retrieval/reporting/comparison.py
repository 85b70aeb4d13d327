"""What a comparison of runs consists of; the tables, the page and the picture are views of it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.results import PER_QUERY_FILE
from hybrid_retrieval.reporting.benchmark_groups import BenchmarkGroup, group_by_benchmark
from hybrid_retrieval.reporting.columns import (
    DECOMPOSITION,
    RANK_DISTANCE_COLUMN,
    Column,
    bias_columns,
    choose_metric,
    further_columns,
    main_columns,
)
from hybrid_retrieval.reporting.differences import (
    DEFAULT_BASELINE,
    Difference,
    Pair,
    choose_pairs,
    paired_units,
    pairs_with,
    run_tests,
)
from hybrid_retrieval.reporting.experiments import Experiment, group_runs
from hybrid_retrieval.reporting.missing_runs import missing_runs
from hybrid_retrieval.reporting.paper import PaperRow, paper_rows
from hybrid_retrieval.reporting.per_query import has_per_query
from hybrid_retrieval.reporting.runs import STRATEGY_ORDER, UNTRAINED, Run, find_runs


@dataclass(frozen=True)
class Comparison:
    """Experiments on one benchmark, and which of their differences are significant.

    Attributes:
        experiments: ordered by strategy, untrained first.
        metric: the metric of the main columns, a key of metrics.json such as "map".
        main: that metric in every setting the benchmark has.
        further: more metrics to show, such as R@1 and R@10.
        bias: every measure of language bias that the runs hold.
        differences: the tests made on this benchmark.
        tests: number of tests that Holm's correction ran over, on all benchmarks compared together.
        untested: labels of the experiments that have no per-query results, and so no tests.
        paper: published rows to show beside ours.
        remark: what became of the metric asked for; "" for nothing to say.
        missing: one sentence for each state of the runs that lie in the folders without a result.
        name: of the benchmark among those compared together, see `title`; "" for its own name.
        apart: one sentence for each benchmark that not all runs were evaluated on alike.
    """

    experiments: tuple[Experiment, ...]
    metric: str
    main: tuple[Column, ...]
    further: tuple[Column, ...]
    bias: tuple[Column, ...]
    differences: tuple[Difference, ...]
    tests: int
    untested: tuple[str, ...]
    paper: tuple[PaperRow, ...]
    remark: str = ""
    missing: tuple[str, ...] = ()
    name: str = ""
    apart: tuple[str, ...] = ()

    @property
    def benchmark(self) -> str:
        """Name of the benchmark, the same for every run."""
        return self.first.benchmark

    @property
    def title(self) -> str:
        """Name of the benchmark, with what tells it from other forms of it that were compared together."""
        return self.name or self.benchmark

    @property
    def first(self) -> Run:
        """A run to read what all share from."""
        return self.experiments[0].runs[0]

    @property
    def runs(self) -> list[Run]:
        """The runs of all experiments."""
        return [run for e in self.experiments for run in e.runs]

    @property
    def languages(self) -> list[str]:
        """Languages of the benchmark."""
        return sorted(self.first.metrics["per_language"])

    @property
    def trained(self) -> list[Experiment]:
        """The experiments that were trained by us."""
        return [e for e in self.experiments if e.strategy != UNTRAINED]

    @property
    def table(self) -> list[Column]:
        """Columns of the main table: the metrics, then rank distance where it is defined."""
        return [*self.main, *self.further, *(c for c in self.bias if c == RANK_DISTANCE_COLUMN)]

    @property
    def bias_table(self) -> list[Column]:
        """Columns of the table of language bias."""
        return [c for c in self.bias if c.metric not in DECOMPOSITION]

    @property
    def decomposition(self) -> list[Column]:
        """Shares of the four kinds of first candidate; none unless all four are there."""
        found = {c.metric: c for c in self.bias if c.metric in DECOMPOSITION}
        return [found[key] for key in DECOMPOSITION] if len(found) == len(DECOMPOSITION) else []

    def counts_words(self) -> str:
        """For instance "13,090 queries in 11 languages, 13,014 candidates"."""
        counts = self.first.metrics["counts"]
        languages = len(counts["queries"])
        text = f"{sum(counts['queries'].values()):,} queries in {languages} language{'s'[: languages - 1]}"
        return f"{text}, {counts['pool']:,} candidates" if counts.get("pool") else text

    def caveats(self) -> list[str]:
        """What a reader must know before believing the table, in words."""
        notes = [*([self.remark] if self.remark else []), *self.missing]
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
    metric: str | None = None,
    baseline: str = DEFAULT_BASELINE,
    benchmark: str | None = None,
    paper: bool = False,
) -> tuple[Comparison, ...]:
    """Read, group and test runs: one comparison a benchmark, by name; one correction of Holm's over all.

    Runs on one benchmark with other queries, candidates or options are not comparable: each form of it has
    a comparison of its own, and `Comparison.apart` says so.

    Args:
        folders: run folders or folders of runs.
        metric: of the main columns, a key of metrics.json; None for each benchmark's usual one. A benchmark
            that lacks it shows its usual one, if another benchmark has it.
        baseline: what the others are tested against: a strategy, or the folder of a run (its path, or its
            name alone), which stands for its experiment.
        benchmark: leave runs on other benchmarks out.
        paper: put the published rows beside ours, where the paper reports the benchmark and metric.

    Raises:
        UserError: no runs, unreadable ones, tests of runs that hold different queries, an unknown metric,
            baseline or strategy.
    """
    groups, apart = group_by_benchmark(find_runs(folders, benchmark))
    every = [run for group in groups for run in group.runs]
    against = _baseline(baseline, every)
    parts = [
        _Part.of(group, every, chosen, remark, against)
        for group, (chosen, remark) in zip(groups, _metrics(groups, metric), strict=True)
    ]
    tested = iter(run_tests([pair for part in parts for pair in part.pairs]))
    tests, missing = sum(len(part.pairs) for part in parts), missing_runs(folders)
    return tuple(
        Comparison(
            experiments=tuple(part.experiments),
            metric=part.metric,
            main=tuple(part.main),
            further=tuple(part.further),
            bias=tuple(part.bias),
            differences=tuple(next(tested) for _ in part.pairs),
            tests=tests,
            untested=tuple(e.label for e in part.experiments if not has_per_query(e.runs)),
            paper=paper_rows(part.experiments[0].runs[0].benchmark, part.main) if paper else (),
            remark=part.remark,
            missing=missing,
            name=part.name,
            apart=apart,
        )
        for part in parts
    )


@dataclass(frozen=True)
class _Part:
    """One benchmark before its tests."""

    name: str
    experiments: list[Experiment]
    metric: str
    remark: str
    main: list[Column]
    further: list[Column]
    bias: list[Column]
    pairs: list[Pair]

    @classmethod
    def of(
        cls, group: BenchmarkGroup, every: Sequence[Run], metric: str, remark: str, baseline: str | Run
    ) -> "_Part":
        runs = group.runs
        experiments = group_runs(runs, among=every)
        main, bias = main_columns(runs, metric), bias_columns(runs)
        if isinstance(baseline, Run):
            chosen = pairs_with(experiments, baseline)
        else:
            chosen = choose_pairs(experiments, baseline)
        pairs = paired_units(chosen, [*main, *(c for c in bias if c.metric not in DECOMPOSITION)])
        further = further_columns(runs, metric)
        return cls(group.name, experiments, metric, remark, main, further, bias, pairs)


def _baseline(name: str, runs: Sequence[Run]) -> str | Run:
    """A strategy, or a run in the folder of that path or, where there is none, of that name."""
    strategies = list(dict.fromkeys(run.strategy for run in runs))
    if name in {*strategies, DEFAULT_BASELINE}:
        return name
    path = Path(name).resolve()
    found = [run for run in runs if path in (folder := run.folder.resolve(), *folder.parents)]
    found = found or [run for run in runs if run.folder.name == name]
    if not found:
        what = "no run of it" if name in STRATEGY_ORDER else "no such strategy, nor a run in such a folder"
        raise UserError(
            f"baseline={name}: {what}. The strategies found are {', '.join(strategies)}; the folder of a run "
            "will do, too."
        )
    if any(run.settings != found[0].settings for run in found):
        raise UserError(
            f"baseline={name}: runs of several experiments are there. Give the folder of one, such as "
            f"{found[0].folder}."
        )
    return found[0]


def _metrics(groups: Sequence[BenchmarkGroup], wanted: str | None) -> list[tuple[str, str]]:
    """The metric of each benchmark, and a remark where it is not the one wanted."""
    chosen: list[tuple[str, str]] = []
    missed: list[UserError] = []
    for group in groups:
        try:
            chosen.append((choose_metric(group.runs, wanted), ""))
        except UserError as error:
            if wanted is None:
                raise
            missed.append(error)
            usual = choose_metric(group.runs, None)
            chosen.append((usual, f"{group.name} has no {wanted}; {usual} is shown instead."))
    if len(missed) == len(groups):
        raise missed[0]
    return chosen
