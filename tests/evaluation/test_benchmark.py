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
