import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.ranking import Ranking, rank_benchmark

from .synthetic import exact_embeddings, random_benchmark


def rank(benchmark: Benchmark, queries: np.ndarray, candidates: np.ndarray, **options: Any) -> Ranking:
    return rank_benchmark(
        queries,
        candidates,
        benchmark,
        **options,
    )


def sorted_ids(benchmark: Benchmark, scores: np.ndarray, language: int | None = None) -> list[str]:
    """Plain sort: score descending, then id descending; of one language or of the pool."""
    kept = [i for i, x in enumerate(benchmark.candidate_language) if language is None or x == language]
    kept.sort(key=lambda i: (scores[i], benchmark.candidate_ids[i]), reverse=True)
    return [benchmark.candidate_ids[i] for i in kept]


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    languages=st.integers(1, 4),
    levels=st.integers(0, 3),
    block_bytes=st.sampled_from([1, 300, 1 << 20]),
    top=st.sampled_from([0, 1, 5, 1000]),
)
def test_equals_a_plain_sort_with_many_ties(
    seed: int, languages: int, levels: int, block_bytes: int, top: int
) -> None:
    benchmark = random_benchmark(seed, languages=languages)
    queries = exact_embeddings(seed, len(benchmark.query_ids), levels=levels)
    candidates = exact_embeddings(seed + 1, len(benchmark.candidate_ids), levels=levels)
    ranking = rank(benchmark, queries, candidates, block_bytes=block_bytes, top=top)
    scores = queries @ candidates.T
    for query, first in enumerate(ranking.top):
        ids = [benchmark.candidate_ids[i] for i in first]
        assert ids == sorted_ids(benchmark, scores[query])[:top]
    assert np.array_equal(ranking.candidate, benchmark.relevant)
    for pair, (query, position) in enumerate(zip(ranking.query, benchmark.relevant, strict=True)):
        language, relevant_id = ranking.language[pair], benchmark.candidate_ids[position]
        assert language == benchmark.candidate_language[position]
        in_language = sorted_ids(benchmark, scores[query], language)
        assert ranking.rank_in_language[pair] == in_language.index(relevant_id) + 1
        in_pool = sorted_ids(benchmark, scores[query])
        place = in_pool.index(relevant_id)
        assert ranking.rank_in_pool[pair] == place + 1
        of_ahead = [candidate_id.split(":")[0] for candidate_id in in_pool[:place]]
        assert ranking.ahead[pair].tolist() == [of_ahead.count(code) for code in benchmark.languages]


@pytest.mark.parametrize("block_bytes", [1, 1000, 4096, None])
def test_block_size_does_not_matter(block_bytes: int | None) -> None:
    benchmark = random_benchmark(5, groups=40, extra=100)
    queries = exact_embeddings(1, len(benchmark.query_ids), 32)
    candidates = exact_embeddings(2, len(benchmark.candidate_ids), 32)
    expected = rank(benchmark, queries, candidates, block_bytes=1 << 30)
    assert np.array_equal(rank(benchmark, queries, candidates, block_bytes=block_bytes).ahead, expected.ahead)


def test_order_of_languages_and_candidates_does_not_matter() -> None:
    benchmark = random_benchmark(7, languages=4, groups=20, extra=50)
    queries = exact_embeddings(3, len(benchmark.query_ids))
    candidates = exact_embeddings(4, len(benchmark.candidate_ids))
    expected = rank(benchmark, queries, candidates)

    new_of_old = np.array([2, 0, 3, 1])
    order = np.random.default_rng(0).permutation(len(candidates))  # order[new position] = old position
    moved = dataclasses.replace(
        benchmark,
        languages=tuple(benchmark.languages[i] for i in np.argsort(new_of_old)),
        query_language=new_of_old[benchmark.query_language],
        candidate_language=new_of_old[benchmark.candidate_language][order],
        candidate_ids=[benchmark.candidate_ids[i] for i in order],
        candidate_texts=[benchmark.candidate_texts[i] for i in order],
        relevant=np.argsort(order)[benchmark.relevant],
    )
    found = rank(moved, queries, candidates[order])
    assert np.array_equal(found.ahead[:, new_of_old], expected.ahead)
    assert np.array_equal(found.rank_in_language, expected.rank_in_language)


def test_equal_embeddings_tie_exactly_wherever_they_stand() -> None:
    generator = np.random.default_rng(0)
    benchmark = random_benchmark(11, languages=1, groups=3, extra=994)
    candidates = np.repeat(
        generator.standard_normal((1, 384), dtype=np.float32), len(benchmark.candidate_ids), 0
    )
    queries = generator.standard_normal((len(benchmark.query_ids), 384), dtype=np.float32)
    ranking = rank(benchmark, queries, candidates)
    assert np.array_equal(ranking.rank_in_pool, benchmark.tie_order[benchmark.relevant] + 1)


def test_nan_is_refused() -> None:
    benchmark = random_benchmark(3)
    queries = exact_embeddings(0, len(benchmark.query_ids))
    candidates = exact_embeddings(1, len(benchmark.candidate_ids))
    candidates[0] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        rank(benchmark, queries, candidates)


def test_settings_of_training_are_left_alone() -> None:
    benchmark = random_benchmark(3, groups=20, extra=400)
    torch.set_float32_matmul_precision("high")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            queries = exact_embeddings(0, len(benchmark.query_ids), 64, levels=9)
            candidates = exact_embeddings(1, len(benchmark.candidate_ids), 64, levels=9)
            inside = rank(benchmark, queries, candidates)
        assert torch.get_float32_matmul_precision() == "high"
    finally:
        torch.set_float32_matmul_precision("highest")
    assert np.array_equal(inside.ahead, rank(benchmark, queries, candidates).ahead)
