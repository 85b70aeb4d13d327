import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark

from .synthetic import random_benchmark


def test_a_query_without_a_relevant_candidate_is_counted_and_named() -> None:
    benchmark = random_benchmark(0, languages=1, groups=3)
    kept = int(benchmark.relevant_offsets[1])
    with pytest.raises(UserError, match=f"synthetic: 2 of 3 .* the first is '{benchmark.query_ids[1]}'"):
        dataclasses.replace(
            benchmark,
            relevant_offsets=np.array([0, kept, kept, kept]),
            relevant=benchmark.relevant[:kept],
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {"query_texts": []}, "differ in number"),
        (lambda b: {"candidate_language": np.zeros(1)}, "differ in number"),
        (lambda b: {"candidate_ids": ["same"] * len(b.candidate_ids)}, "must be unique"),
        (lambda b: {"languages": ("ar",)}, "language index lies outside"),
        (lambda b: {"relevant_offsets": b.relevant_offsets[:-1]}, "one entry a query and one more"),
        (lambda b: {"relevant": np.full_like(b.relevant, 999)}, "position lies outside"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(
    change: Callable[[Benchmark], dict[str, Any]], message: str
) -> None:
    benchmark = random_benchmark(0, complete=True)
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(benchmark, **change(benchmark))


@pytest.mark.parametrize("questions", [1, 3, 7, 19])
def test_a_sample_keeps_whole_questions_their_answers_and_a_share_of_the_pool(questions: int) -> None:
    whole = random_benchmark(2, languages=3, groups=20, extra=40)
    sample = whole.sample(questions)

    assert len(set(sample.query_group)) == questions
    expected = {group: of for group, of in answers(whole).items() if group in set(sample.query_group)}
    assert answers(sample) == expected
    others = set(sample.candidate_ids) - {answer for of in expected.values() for answer in of}
    assert len(others) == 40 * questions // 20
    assert not others & {answer for of in answers(whole).values() for answer in of}
    kept = dict(zip(whole.candidate_ids, whole.candidate_texts, strict=True))
    assert all(kept[i] == text for i, text in zip(sample.candidate_ids, sample.candidate_texts, strict=True))


def test_a_sample_of_more_than_there_is_is_the_whole() -> None:
    whole = random_benchmark(2, groups=6)
    assert whole.sample(6) is whole


def answers(benchmark: Benchmark) -> dict[str, set[str]]:
    """Ids of the relevant candidates of each group, with the language of each query."""
    return {
        group: {
            benchmark.candidate_ids[c]
            for c in benchmark.relevant[benchmark.relevant_offsets[q] : benchmark.relevant_offsets[q + 1]]
        }
        for q, group in enumerate(benchmark.query_group)
    }
