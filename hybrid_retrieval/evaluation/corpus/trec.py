"""TREC run files and qrels of a corpus benchmark, as far as the search went.

    runs/monolingual/X.trec      qrels/monolingual/X.qrels      queries of X on the passages of X
    runs/multilingual/X.trec     qrels/multilingual/X.qrels     queries of X on the passages of all languages

Ids are those of the benchmark's own files, so that its own qrels fit the runs. Scores have the 9 digits that
give the same float32 when read. trec_eval puts passages with equal scores in descending order of id, where
the evaluation keeps the order of the collection: only there can its ranks differ.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.corpus.benchmark import CorpusBenchmark, CorpusQuery
from hybrid_retrieval.index.shards import ShardedVectors


def write_corpus_trec(
    folder: Path,
    benchmark: CorpusBenchmark,
    vectors: Mapping[str, ShardedVectors],
    found: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    tag: str = "hybrid-retrieval",
) -> None:
    """Write the run and the qrels of each query language.

    Args:
        folder: gets `runs/` and `qrels/`; an existing folder is replaced as a whole, when all is written.
        benchmark: what was searched.
        vectors: of each collection, by name.
        found: for each collection scores float32 and positions int64 (queries, depth), as a `Searcher` gives.
        tag: the run's name, in the last column.

    Raises:
        UserError: an id holds white space, which would break the format.
    """
    with atomic_folder(folder) as new:
        for collection in benchmark.collections:
            scores, positions = found[collection.name]
            places = positions[positions >= 0]
            ids = np.full(positions.shape, "", dtype=object)
            ids[positions >= 0] = vectors[collection.name].ids(places)
            _check([query.id for query in collection.queries], "query", benchmark.name)
            _check(ids[positions >= 0].tolist(), "passage", benchmark.name)
            for query, of_query, values in zip(collection.queries, ids, scores.tolist(), strict=True):
                name = f"{benchmark.setting}/{query.language}"
                ranked = ((i, value) for i, value in zip(of_query.tolist(), values, strict=True) if i)
                lines = (
                    f"{query.id} Q0 {i} {rank} {value:.9g} {tag}\n"
                    for rank, (i, value) in enumerate(ranked, start=1)
                )
                _append(new / "runs" / f"{name}.trec", lines)
                _append(new / "qrels" / f"{name}.qrels", _qrels(query))


def _qrels(query: CorpusQuery) -> Iterable[str]:
    return (f"{query.id} 0 {passage_id} {grade}\n" for passage_id, grade in query.relevant.items())


def _check(ids: list[str], what: str, benchmark: str) -> None:
    broken = [i for i in ids if i.split() != [i]]
    if broken:
        raise UserError(
            f"{benchmark}: {what} id {broken[0]!r} holds white space, which separates the columns of a TREC "
            "file. Rename it, or write no run files."
        )


def _append(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)
