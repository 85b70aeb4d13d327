"""Benchmarks and rankings written down by hand."""

from collections.abc import Sequence

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.ranking import Ranking

Query = tuple[str, str, Sequence[int]]
"""Language, group, positions of the relevant candidates."""


def benchmark_of(queries: Sequence[Query], candidates: str, grades: Sequence[int] | None = None) -> Benchmark:
    """A benchmark; `candidates` has the languages of the candidates, one word each."""
    of_candidate = candidates.split()
    languages = tuple(sorted({*of_candidate, *(language for language, _, _ in queries)}))
    return Benchmark(
        name="by hand",
        languages=languages,
        query_ids=[f"{language}:{group}:{i}" for i, (language, group, _) in enumerate(queries)],
        query_texts=["" for _ in queries],
        query_group=[group for _, group, _ in queries],
        query_language=np.array([languages.index(language) for language, _, _ in queries], dtype=np.int16),
        candidate_ids=[f"{code}:{i}" for i, code in enumerate(of_candidate)],
        candidate_texts=["" for _ in of_candidate],
        candidate_language=np.array([languages.index(code) for code in of_candidate], dtype=np.int16),
        relevant_offsets=np.cumsum([0, *(len(relevant) for _, _, relevant in queries)]),
        relevant=np.array([i for _, _, relevant in queries for i in relevant], dtype=np.int64),
        grades=None if grades is None else np.array(grades),
    )


def ranking_of(benchmark: Benchmark, orders: Sequence[Sequence[int]] | np.ndarray, top: int = 100) -> Ranking:
    """The ranking in which each query has its candidates, all of them, in the given order."""
    order = np.asarray(orders, dtype=np.int64)
    query = np.repeat(np.arange(len(order)), np.diff(benchmark.relevant_offsets))
    ahead = np.zeros((len(query), len(benchmark.languages)), dtype=np.int32)
    for pair, (q, candidate) in enumerate(zip(query, benchmark.relevant, strict=True)):
        before = order[q, : order[q].tolist().index(candidate)]
        ahead[pair] = np.bincount(benchmark.candidate_language[before], minlength=len(benchmark.languages))
    return Ranking(
        query=query,
        candidate=benchmark.relevant,
        language=benchmark.candidate_language[benchmark.relevant].astype(np.int64),
        ahead=ahead,
        top=order[:, :top].astype(np.int32),
        queries=len(order),
    )


def random_orders(generator: np.random.Generator, benchmark: Benchmark) -> np.ndarray:
    """A random order of the candidates for each query."""
    shape = len(benchmark.query_ids), len(benchmark.candidate_ids)
    return generator.permuted(np.broadcast_to(np.arange(shape[1]), shape), axis=1)


EXAMPLE = benchmark_of(
    [("de", "a", [0, 1]), ("en", "a", [0, 1]), ("en", "b", [3, 2]), ("de", "c", [5])],
    "de en de en de en en",
)
"""Group a in two languages, group b in English only, group c in German with an answer in English only."""

EXAMPLE_ORDERS = [
    [0, 4, 1, 2, 3, 5, 6],  # de:a  the German answer first, the English third
    [3, 0, 6, 5, 1, 2, 4],  # en:a  a wrong English one, the German answer second, the English fifth
    [2, 3, 6, 5, 4, 1, 0],  # en:b  the German answer, then the English one
    [4, 5, 0, 2, 1, 3, 6],  # de:c  a wrong German one, then the answer
]
