"""Per-query results, averaged over an experiment's seeds: what the paired tests compare."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.results import PER_QUERY_FILE
from hybrid_retrieval.reporting.runs import SETTINGS, Run
from hybrid_retrieval.reporting.statistics import RANK_DISTANCE

MEASURES = (*SETTINGS, RANK_DISTANCE)


@dataclass(frozen=True)
class PerQuery:
    """The queries of one experiment, sorted by id.

    Attributes:
        query: str (queries,), unique ids.
        group: str (queries,), shared by the translations of one question.
        language: str (queries,).
        values: for each of `MEASURES` float64 (queries,), the mean over seeds; NaN where undefined.
    """

    query: NDArray[np.str_]
    group: NDArray[np.str_]
    language: NDArray[np.str_]
    values: dict[str, NDArray[np.float64]]


def has_per_query(runs: Sequence[Run]) -> bool:
    """Whether every run has per-query results."""
    return all((run.folder / PER_QUERY_FILE).is_file() for run in runs)


def read_per_query(runs: Sequence[Run], metric: str) -> PerQuery | None:
    """Read one metric in each setting and rank distance, averaged over the runs.

    Returns:
        None if a run has no per-query results.

    Raises:
        UserError: a file cannot be read, lacks a column, or holds other queries than the first run's.
    """
    if not has_per_query(runs):
        return None
    tables = [_read_table(run, metric) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if not np.array_equal(table.query, tables[0].query):
            raise UserError(
                f"{run.folder / PER_QUERY_FILE} and {runs[0].folder / PER_QUERY_FILE} hold different "
                "queries. Evaluate both on the same benchmark."
            )
    means = {m: np.mean([table.values[m] for table in tables], axis=0) for m in MEASURES}
    return PerQuery(tables[0].query, tables[0].group, tables[0].language, means)


def _read_table(run: Run, metric: str) -> PerQuery:
    file = run.folder / PER_QUERY_FILE
    columns = {m: RANK_DISTANCE if m == RANK_DISTANCE else f"{m}/{metric}" for m in MEASURES}
    needed = ["query_id", "group", "language", *columns.values()]
    try:
        missing = set(needed) - set(pq.read_schema(file).names)
        if missing:
            raise UserError(f"{file}: no column {', '.join(sorted(missing))}. Evaluate the model again.")
        table = pq.read_table(file, columns=needed)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: not a Parquet file ({error}). Evaluate the model again.") from error
    query = np.array(table["query_id"].to_pylist(), dtype=np.str_)
    order = np.argsort(query, kind="stable")
    return PerQuery(
        query=query[order],
        group=np.array(table["group"].to_pylist(), dtype=np.str_)[order],
        language=np.array(table["language"].to_pylist(), dtype=np.str_)[order],
        values={
            m: np.array(table[column].to_numpy(zero_copy_only=False), dtype=np.float64)[order]
            for m, column in columns.items()
        },
    )
