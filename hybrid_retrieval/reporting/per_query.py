"""Per-query results, averaged over an experiment's seeds: what the paired tests compare."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.results import PER_QUERY_FILE
from hybrid_retrieval.reporting.columns import Column
from hybrid_retrieval.reporting.runs import Run


@dataclass(frozen=True)
class PerQuery:
    """The queries of one experiment, sorted by id.

    Attributes:
        query: str (queries,), unique ids.
        group: str (queries,), shared by the translations of one question.
        stratum: str (queries,), what the macro average runs over: the query's language, and in bitext
            retrieval the pair of languages.
        language: str (queries,), of the query.
        values: for each column float64 (queries,), the mean over seeds; NaN where undefined.
    """

    query: NDArray[np.str_]
    group: NDArray[np.str_]
    stratum: NDArray[np.str_]
    language: NDArray[np.str_]
    values: dict[Column, NDArray[np.float64]]


def has_per_query(runs: Sequence[Run]) -> bool:
    """Whether every run has per-query results."""
    return all((run.folder / PER_QUERY_FILE).is_file() for run in runs)


def read_per_query(runs: Sequence[Run], columns: Sequence[Column]) -> PerQuery | None:
    """Read columns, averaged over the runs; a measure of language bias that some run lacks is left out.

    Returns:
        None if a run has no per-query results.

    Raises:
        UserError: a file cannot be read, lacks a metric, or holds other queries than the first run's.
    """
    if not has_per_query(runs):
        return None
    tables = [_read_table(run, columns) for run in runs]
    for run, table in zip(runs, tables, strict=True):
        if not np.array_equal(table.query, tables[0].query):
            raise UserError(
                f"{run.folder / PER_QUERY_FILE} and {runs[0].folder / PER_QUERY_FILE} hold different "
                "queries. Evaluate both on the same benchmark."
            )
    shared = [c for c in columns if all(c in table.values for table in tables)]
    means = {c: np.mean([table.values[c] for table in tables], axis=0) for c in shared}
    return PerQuery(tables[0].query, tables[0].group, tables[0].stratum, tables[0].language, means)


def macro_units(
    values: NDArray[np.float64], table: PerQuery, where: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """One number a question whose mean is the macro average over languages; float64 (questions,).

    Args:
        values: float64 (queries,), one a query of the table; NaN where undefined, which is left out.
        table: what the queries are.
        where: bool (queries,), the queries to take; None for all.
    """
    defined = np.isfinite(values) if where is None else np.isfinite(values) & where
    if not defined.any():
        return np.empty(0)
    _, stratum = np.unique(table.stratum[defined], return_inverse=True)
    _, unit = np.unique(table.group[defined], return_inverse=True)
    queries = np.bincount(stratum)
    weighted = values[defined] / (len(queries) * queries[stratum])
    sums = np.bincount(unit, weights=weighted)
    return np.asarray(sums * len(sums), dtype=np.float64)


def _read_table(run: Run, columns: Sequence[Column]) -> PerQuery:
    file = run.folder / PER_QUERY_FILE
    try:
        present = set(pq.read_schema(file).names)
        names = {c: _name(c) for c in columns if not c.is_bias or c.metric in present}
        strata = ["language", *(name for name in ("candidate_language",) if name in present)]
        needed = ["query_id", "group", *strata, *names.values()]
        missing = set(needed) - present
        if missing:
            raise UserError(f"{file}: no column {', '.join(sorted(missing))}. Evaluate the model again.")
        table = pq.read_table(file, columns=needed)
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{file}: not a Parquet file ({error}). Evaluate the model again.") from error
    query = np.array(table["query_id"].to_pylist(), dtype=np.str_)
    order = np.argsort(query, kind="stable")
    parts = [table[name].to_pylist() for name in strata]
    return PerQuery(
        query=query[order],
        group=np.array(table["group"].to_pylist(), dtype=np.str_)[order],
        stratum=np.array([" > ".join(of) for of in zip(*parts, strict=True)], dtype=np.str_)[order],
        language=np.array(parts[0], dtype=np.str_)[order],
        values={
            c: np.array(table[name].to_numpy(zero_copy_only=False), dtype=np.float64)[order]
            for c, name in names.items()
        },
    )


def _name(column: Column) -> str:
    """Name of the column in per_query.parquet."""
    return column.metric if column.is_bias else f"{column.setting}/{column.metric}"
