"""Evaluate a model on a benchmark with large corpora, by searching them to a depth."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.corpus.benchmark import Collection, CorpusBenchmark
from hybrid_retrieval.evaluation.corpus.encode import encode_corpus
from hybrid_retrieval.evaluation.corpus.scan import CorpusScan
from hybrid_retrieval.evaluation.corpus.trec import write_corpus_trec
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.environment import environment
from hybrid_retrieval.evaluation.metrics import NOT_RETRIEVED, RelevantRanks, metric
from hybrid_retrieval.evaluation.results import PER_QUERY_FILE, SCHEMA, SETTINGS, Results
from hybrid_retrieval.evaluation.settings import mean
from hybrid_retrieval.index.base import Searcher, Vectors
from hybrid_retrieval.index.exact import ExactSearch
from hybrid_retrieval.index.recall import index_report
from hybrid_retrieval.index.shard_plan import SHARD_ROWS
from hybrid_retrieval.index.shards import ShardedVectors, wait_for_shards


def evaluate_corpus(
    embedder: Embedder,
    benchmark: CorpusBenchmark,
    *,
    folder: Path,
    fingerprint: str,
    searcher: Callable[[Vectors], Searcher] | None = None,
    index: str = "exact",
    recall_queries: int = 0,
    depth: int = 100,
    run: Mapping[str, Any] | None = None,
    shard_rows: int = SHARD_ROWS,
    dtype: str = "float16",
    world: int = 1,
    trec: Path | None = None,
    progress: bool = True,
) -> Results:
    """Encode what is not encoded yet, search with every query and score what is found.

    A relevant passage beyond the depth counts as not found. Passages with equal scores are ranked in the
    order of the collection (`ExactSearch`). The mean over the queries of each language is averaged over
    languages, as in every setting of metrics.json; settings that the benchmark does not have are `{}`.
    `per_query` has, beside the metrics, `rank`: that of the best relevant passage, null beyond the depth.

    Args:
        embedder: the model.
        benchmark: what to evaluate on.
        folder: where the shards of embeddings are kept; killed and started again, it goes on from there.
        fingerprint: names all that decides an embedding (weights, tokenizer, prefixes, lengths, precision);
            shards of another one are refused.
        searcher: makes the search over a collection's embeddings; None is `ExactSearch`.
        index: what metrics.json calls the searcher.
        recall_queries: on how many queries of each collection a FAISS index is compared with exact search;
            0 is none. `index` of metrics.json has an `index_report` for each collection.
        depth: how many passages are retrieved for each query; at least every cutoff of the metrics.
        run: what the training run was, for metrics.json; None for a model that was not trained here.
        shard_rows: passages of a shard.
        dtype: how embeddings are stored, "float16" or "float32".
        world: number of processes that encode; this is the one of rank 0, and waits for the others, which
            call `encode_corpus`.
        trec: a folder for run files and qrels (`write_corpus_trec`); None writes none.
        progress: whether to show progress bars.

    Raises:
        UserError: the passages do not fit the queries; the shards do not fit the passages or the model; the
            embeddings are not finite; `depth` is too small.
    """
    cutoff = max(int(name.partition("@")[2] or 0) for name in benchmark.metrics)
    if depth < cutoff:
        raise UserError(
            f"depth={depth} is too small for {', '.join(benchmark.metrics)}: retrieve {cutoff} or more."
        )
    started = time.perf_counter()
    embeddings = {of.name: _embed_queries(embedder, benchmark, of, progress) for of in benchmark.collections}
    known = encode_corpus(
        embedder,
        benchmark,
        folder,
        fingerprint=fingerprint,
        shard_rows=shard_rows,
        dtype=dtype,
        world=world,
        progress=progress,
    )
    for name, (_, plan) in known.items():
        wait_for_shards(folder / name, plan)
    encoded = time.perf_counter()
    vectors = {of.name: ShardedVectors(folder / of.name) for of in benchmark.collections}
    found: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    reports: dict[str, Any] = {}
    for name, of_collection in vectors.items():
        search = (searcher or ExactSearch)(of_collection)
        found[name] = search.search(embeddings[name], depth)
        reports[name] = index_report(index, search, of_collection, embeddings[name], limit=recall_queries)
    ranked = time.perf_counter()
    if trec is not None:
        write_corpus_trec(trec, benchmark, vectors, found)
    scored = _score(
        benchmark, [_ranks(of, known[of.name][0], found[of.name][1]) for of in benchmark.collections]
    )
    metrics = {
        "schema": SCHEMA,
        "model": embedder.name,
        "benchmark": benchmark.name,
        "run": dict(run) if run is not None else None,
        "counts": _counts(benchmark, [known[of.name][0] for of in benchmark.collections]),
        **_averages(benchmark, scored),
        "per_query": PER_QUERY_FILE,
        "seconds": {"encode": encoded - started, "rank": ranked - encoded},
        "index": reports,
        "environment": environment(),
    }
    return Results(metrics, _per_query(benchmark, scored))


@dataclass(frozen=True)
class _Scored:
    """Of every query, in the order of collections and their queries."""

    values: dict[str, np.ndarray]  # for each metric float64 (queries,)
    best: np.ndarray  # int64 (queries,), rank of the best relevant passage, NOT_RETRIEVED beyond the depth
    language: np.ndarray  # str (queries,)


def _embed_queries(
    embedder: Embedder, benchmark: CorpusBenchmark, collection: Collection, progress: bool
) -> np.ndarray:
    ids = [f"{query.language}:{query.id}" for query in collection.queries]
    texts = [query.text for query in collection.queries]
    title = f"{benchmark.name} {collection.name}: {len(ids):,} queries" if progress else None
    embeddings = embedder.embed(ids, texts, "query", title=title)
    broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(broken):
        raise UserError(
            f"{benchmark.name}: {len(broken)} of {len(ids)} query embeddings hold NaN or infinity, first "
            f"that of {ids[broken[0]]!r}. Use an earlier checkpoint, a lower learning rate or float32."
        )
    return embeddings


def _ranks(
    collection: Collection, scanned: CorpusScan, positions: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Query (within the collection), rank and grade of every relevant passage; int64 (pairs,) each."""
    pairs: list[tuple[int, int, int]] = []
    for number, (query, row) in enumerate(zip(collection.queries, positions.tolist(), strict=True)):
        rank_at = {position: rank for rank, position in enumerate(row, start=1)}
        for passage_id, grade in query.relevant.items():
            pairs.append((number, rank_at.get(scanned.positions[passage_id], NOT_RETRIEVED), grade))
    query, rank, grade = np.array(pairs, dtype=np.int64).T
    return query, rank, grade


def _score(benchmark: CorpusBenchmark, found: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> _Scored:
    values: dict[str, list[np.ndarray]] = {name: [] for name in benchmark.metrics}
    best: list[np.ndarray] = []
    for collection, (query, rank, grade) in zip(benchmark.collections, found, strict=True):
        ranks = RelevantRanks.of(query, rank, len(collection.queries), grade)
        for name in benchmark.metrics:
            values[name].append(metric(name)(ranks))
        best.append(ranks.rank[ranks.nth == 1])
    language = [query.language for collection in benchmark.collections for query in collection.queries]
    return _Scored(
        {name: np.concatenate(of) for name, of in values.items()}, np.concatenate(best), np.array(language)
    )


def _averages(benchmark: CorpusBenchmark, scored: _Scored) -> dict[str, Any]:
    """The benchmark's setting, macro-averaged over languages, and by language."""
    by_language = {
        code: {name: mean(values[scored.language == code]) for name, values in scored.values.items()}
        for code in benchmark.languages
    }
    empty: dict[str, dict[str, float]] = {setting: {} for setting in SETTINGS}
    macro = {
        name: mean(np.array([of_language[name] for of_language in by_language.values()]))
        for name in benchmark.metrics
    }
    return {
        **empty,
        benchmark.setting: macro,
        "language_bias": {},
        "per_language": {code: {**empty, benchmark.setting: values} for code, values in by_language.items()},
        "per_document_language": {},
        "confusion": {},
        "per_pair": {},
    }


def _counts(benchmark: CorpusBenchmark, scans: list[CorpusScan]) -> dict[str, Any]:
    queries = [query.language for collection in benchmark.collections for query in collection.queries]
    candidates: dict[str, int] = {}
    for scanned in scans:
        for code, count in scanned.languages.items():
            candidates[code] = candidates.get(code, 0) + count
    return {
        "queries": {code: queries.count(code) for code in benchmark.languages},
        "candidates": dict(sorted(candidates.items())),
        "pool": sum(scanned.passages for scanned in scans),
    }


def _per_query(benchmark: CorpusBenchmark, scored: _Scored) -> pa.Table:
    ids = [f"{query.language}:{query.id}" for of in benchmark.collections for query in of.queries]
    return pa.table(
        {
            "query_id": pa.array(ids),
            "group": pa.array(ids),
            "language": pa.array(scored.language.tolist()),
            **{f"{benchmark.setting}/{name}": pa.array(values) for name, values in scored.values.items()},
            "rank": pa.array(scored.best, mask=scored.best == NOT_RETRIEVED),
        }
    )
