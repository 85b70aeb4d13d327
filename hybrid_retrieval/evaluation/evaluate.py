"""Evaluate a model, or embeddings, on a benchmark in the three settings."""

import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.environment import environment
from hybrid_retrieval.evaluation.language_bias.measures import TOP, LanguageBias, measure_language_bias
from hybrid_retrieval.evaluation.metrics import METRICS
from hybrid_retrieval.evaluation.ranking import rank_benchmark
from hybrid_retrieval.evaluation.results import PER_QUERY_FILE, SCHEMA, Results
from hybrid_retrieval.evaluation.settings import QueryScores, macro_cross_lingual, macro_monolingual, mean


def evaluate(
    embedder: Embedder,
    benchmark: Benchmark,
    *,
    run: Mapping[str, Any] | None = None,
    block_bytes: int | None = None,
    progress: bool = True,
) -> Results:
    """Embed a benchmark's queries and candidates once and score them in every setting.

    Args:
        embedder: the model.
        benchmark: what to evaluate on.
        run: what the training run was, for metrics.json; None for a model that was not trained here.
        block_bytes: bound in bytes on the scores held at one time; None chooses.
        progress: whether to show progress bars.

    Raises:
        UserError: the model gives NaN or infinite embeddings.
    """
    queries, candidates, seconds = embed(embedder, benchmark, progress=progress)
    return evaluate_embeddings(
        queries,
        candidates,
        benchmark,
        model=embedder.name,
        run=run,
        encode_seconds=seconds,
        block_bytes=block_bytes,
    )


def embed(
    embedder: Embedder, benchmark: Benchmark, *, progress: bool = True
) -> tuple[np.ndarray, np.ndarray, float]:
    """The embeddings of a benchmark's queries and candidates, and the seconds they took.

    Returns:
        float32 (queries, dimension), float32 (candidates, dimension), seconds.
    """
    started = time.perf_counter()

    def title(count: int, what: str) -> str | None:
        return f"{benchmark.name}: {count:,} {what}" if progress else None

    ids, candidate_ids = benchmark.query_ids, benchmark.candidate_ids
    queries = embedder.embed(ids, benchmark.query_texts, "query", title=title(len(ids), "queries"))
    candidates = embedder.embed(
        candidate_ids, benchmark.candidate_texts, "passage", title=title(len(candidate_ids), "candidates")
    )
    return queries, candidates, time.perf_counter() - started


def evaluate_embeddings(
    query_embeddings: np.ndarray,
    candidate_embeddings: np.ndarray,
    benchmark: Benchmark,
    *,
    model: str = "embeddings",
    run: Mapping[str, Any] | None = None,
    encode_seconds: float = 0.0,
    block_bytes: int | None = None,
) -> Results:
    """Score given embeddings by inner product (the cosine, if they are L2-normalised) in every setting.

    Args:
        query_embeddings: float32 (queries, dimension), in the order of `benchmark.query_ids`.
        candidate_embeddings: float32 (candidates, dimension), in the order of `benchmark.candidate_ids`.
        benchmark: what they are the embeddings of.
        model: the name in metrics.json.
        run: what the training run was, for metrics.json.
        encode_seconds: the time that making the embeddings took.
        block_bytes: bound in bytes on the scores held at one time; None chooses.

    Raises:
        UserError: the embeddings do not fit the benchmark or each other, or are not finite.
    """
    check_embeddings(query_embeddings, benchmark.query_ids, f"{benchmark.name}: query embeddings")
    check_embeddings(candidate_embeddings, benchmark.candidate_ids, f"{benchmark.name}: candidate embeddings")
    if query_embeddings.shape[1] != candidate_embeddings.shape[1]:
        raise UserError(
            f"{benchmark.name}: query embeddings have {query_embeddings.shape[1]} dimensions, candidate "
            f"embeddings {candidate_embeddings.shape[1]}. Make both with one model."
        )
    started = time.perf_counter()
    ranking = rank_benchmark(
        query_embeddings,
        candidate_embeddings,
        benchmark,
        top=TOP,
        block_bytes=block_bytes,
    )
    scores = QueryScores.of(ranking, benchmark.query_language, benchmark.grades)
    bias = measure_language_bias(ranking, benchmark)
    metrics = {
        "schema": SCHEMA,
        "model": model,
        "benchmark": benchmark.name,
        "run": dict(run) if run is not None else None,
        "counts": benchmark.counts(),
        **_averages(scores, bias, benchmark.languages),
        "per_query": PER_QUERY_FILE,
        "seconds": {"encode": encode_seconds, "rank": time.perf_counter() - started},
        "environment": environment(),
    }
    return Results(metrics, _per_query(scores, bias, benchmark))


def check_embeddings(embeddings: np.ndarray, ids: list[str], what: str) -> None:
    """Check that there is one finite embedding an id.

    Raises:
        UserError: there is not; the message begins with `what`.
    """
    if embeddings.ndim != 2 or len(embeddings) != len(ids):
        raise UserError(f"{what} have shape {embeddings.shape}; ({len(ids)}, dimension) is needed.")
    broken = np.flatnonzero(~np.isfinite(embeddings).all(axis=1))
    if len(broken):
        raise UserError(
            f"{what}: {len(broken)} of {len(ids)} hold NaN or infinity, first that of {ids[broken[0]]!r}. "
            "The model diverged or overflowed: use an earlier checkpoint, a lower learning rate or float32."
        )


def _averages(scores: QueryScores, bias: LanguageBias, languages: tuple[str, ...]) -> dict[str, Any]:
    """The settings' macro averages, and the same by language and by pair of languages."""
    pairs = {key: scores.pairs(key) for key in METRICS}
    pool = {key: scores.by_query_language(scores.pool[key]) for key in METRICS}
    bias_of = {key: scores.by_query_language(values) for key, values in bias.per_query.items()}
    others = {x: [y for y in range(len(languages)) if y != x] for x in range(len(languages))}
    return {
        "monolingual": {key: macro_monolingual(pairs[key]) for key in METRICS},
        "cross_lingual": {key: macro_cross_lingual(pairs[key]) for key in METRICS},
        "multilingual": {key: mean(pool[key]) for key in METRICS},
        "language_bias": {key: mean(values) for key, values in bias_of.items()},
        "per_language": {
            code: {
                "monolingual": {key: float(pairs[key][x, x]) for key in METRICS},
                "cross_lingual": {key: mean(pairs[key][x, others[x]]) for key in METRICS},
                "multilingual": {key: float(pool[key][x]) for key in METRICS},
                **{key: float(values[x]) for key, values in bias_of.items()},
            }
            for x, code in enumerate(languages)
        },
        "per_document_language": {
            code: {key: float(values[y]) for key, values in bias.per_document_language.items()}
            for y, code in enumerate(languages)
        },
        "confusion": {
            key: {
                code: {languages[y]: float(share) for y, share in enumerate(shares[x])}
                for x, code in enumerate(languages)
            }
            for key, shares in bias.confusion.items()
        },
        "per_pair": {
            code: {languages[y]: {key: float(pairs[key][x, y]) for key in METRICS} for y in others[x]}
            for x, code in enumerate(languages)
        },
    }


def _per_query(scores: QueryScores, bias: LanguageBias, benchmark: Benchmark) -> pa.Table:
    columns: dict[str, pa.Array] = {
        "query_id": pa.array(benchmark.query_ids),
        "group": pa.array(benchmark.query_group),
        "language": pa.array([benchmark.languages[i] for i in benchmark.query_language]),
    }
    for key in METRICS:
        columns[f"monolingual/{key}"] = _nullable(scores.monolingual(key))
        columns[f"cross_lingual/{key}"] = _nullable(scores.cross_lingual(key))
        columns[f"multilingual/{key}"] = _nullable(scores.pool[key])
    columns |= {key: _nullable(values) for key, values in bias.per_query.items()}
    for y, code in enumerate(benchmark.languages):
        in_language, in_pool = scores.best_rank_in_language[:, y], scores.best_rank_in_pool[:, y]
        columns[f"rank/{code}"] = pa.array(in_language, mask=in_language == 0)
        columns[f"pool_rank/{code}"] = pa.array(in_pool, mask=in_pool == 0)
    return pa.table(columns)


def _nullable(values: np.ndarray) -> pa.Array:
    return pa.array(values, mask=np.isnan(values))
