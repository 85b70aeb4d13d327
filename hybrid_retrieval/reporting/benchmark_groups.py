"""Which runs were evaluated on the same queries and candidates, so that their scores are comparable."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hybrid_retrieval.reporting.runs import Run

_NAMED = 3
_FIX = "Evaluate them with the same benchmark options: hybrid-retrieval evaluate model=<run folder>/model"


@dataclass(frozen=True)
class BenchmarkGroup:
    """Runs whose scores are comparable.

    Attributes:
        name: of the benchmark, with what tells this form of it where the runs were evaluated on several.
        runs: on one benchmark with the same queries, candidates and options.
    """

    name: str
    runs: tuple[Run, ...]


def group_by_benchmark(runs: Sequence[Run]) -> tuple[list[BenchmarkGroup], tuple[str, ...]]:
    """Put runs together that are comparable.

    Returns:
        The groups, in the order of the benchmarks' names, those of one benchmark by their number of runs; and
        for each benchmark that was evaluated in several forms a sentence with the runs of each and the fix.
    """
    forms: dict[str, list[list[Run]]] = {}
    for run in runs:
        groups = forms.setdefault(run.benchmark, [])
        own = next((group for group in groups if all(_comparable(run, other) for other in group)), None)
        if own is None:
            groups.append([run])
        else:
            own.append(run)
    found, told = [], []
    for benchmark, groups in sorted(forms.items()):
        groups.sort(key=lambda group: (len(group), group[0].metrics["counts"].get("pool") or 0), reverse=True)
        marks = _marks(groups)
        found += [
            BenchmarkGroup(f"{benchmark} ({mark})" if mark else benchmark, tuple(group))
            for mark, group in zip(marks, groups, strict=True)
        ]
        if len(groups) > 1:
            told.append(_sentence(benchmark, marks, groups))
    return found, tuple(told)


def _comparable(one: Run, other: Run) -> bool:
    if one.metrics["counts"] != other.metrics["counts"]:
        return False
    options, others = (run.metrics.get("benchmark_options") for run in (one, other))
    return not options or not others or options == others  # runs of earlier versions have none


def _marks(groups: Sequence[Sequence[Run]]) -> list[str]:
    """For each form of a benchmark what tells it from the others; "" where there is one form."""
    if len(groups) == 1:
        return [""]
    every = [_aspects(group) for group in groups]
    keys = list(dict.fromkeys(key for aspects in every for key in aspects))
    differing = [key for key in keys if len({aspects.get(key) for aspects in every}) > 1]
    for key in differing:
        marks = [aspects.get(key, "") for aspects in every]
        if "" not in marks and len(set(marks)) == len(groups):
            return marks
    return [
        ", ".join(aspects[key] for key in differing if key in aspects) or "other candidates"
        for aspects in every
    ]


def _aspects(group: Sequence[Run]) -> dict[str, str]:
    """What was evaluated on, in words, by what it is about."""
    counts = group[0].metrics["counts"]
    queries: dict[str, int] = counts["queries"]
    options: dict[str, Any] = next((o for run in group if (o := run.metrics.get("benchmark_options"))), {})
    found = {
        "languages": f"{len(queries)} languages",
        "codes": ", ".join(sorted(queries)),
        "queries": f"{sum(queries.values()):,} queries",
        "each": ", ".join(f"{code} {number:,} queries" for code, number in sorted(queries.items())),
        **{key: f"{key}={value}" for key, value in sorted(options.items())},
    }
    pool = {"pool": f"{counts['pool']:,} candidates"} if counts.get("pool") else {}
    return pool | found


def _sentence(benchmark: str, marks: Sequence[str], groups: Sequence[Sequence[Run]]) -> str:
    folders = [run.folder.absolute() for group in groups for run in group]
    root = Path(os.path.commonpath(folders))
    told = "; ".join(
        f"{mark}: {_named([str(run.folder.absolute().relative_to(root)) for run in group])}"
        for mark, group in zip(marks, groups, strict=True)
    )
    return (
        f"Runs on {benchmark} were evaluated on different queries or candidates, so they are not comparable "
        f"and stand apart ({told}). {_FIX} benchmark={benchmark}."
    )


def _named(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(names[:_NAMED]) + (f" and {more} more" if more > 0 else "")
