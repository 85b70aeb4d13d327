import math

import numpy as np
import pytest
import torch

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.losses.benchmark_loss import benchmark_loss
from hybrid_retrieval.losses.validation_loss import ValidationLoss
from tests.evaluation.synthetic import random_benchmark


def unit(seed: int, rows: int) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(rows, 8)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def plain_loop(
    queries: np.ndarray, candidates: np.ndarray, benchmark: Benchmark, t: float
) -> dict[str, float]:
    cells: dict[tuple[int, int], list[float]] = {}
    for q, x in enumerate(benchmark.query_language):
        relevant = set(benchmark.relevant[slice(*benchmark.relevant_offsets[q : q + 2])].tolist())
        for y in range(len(benchmark.languages)):
            pool = [c for c in range(len(candidates)) if benchmark.candidate_language[c] == y]
            score = {c: float(queries[q].astype(float) @ candidates[c].astype(float)) / t for c in pool}
            negatives = sum(math.exp(score[c]) for c in pool if c not in relevant)
            own = [
                -math.log(math.exp(score[c]) / (math.exp(score[c]) + negatives))
                for c in pool
                if c in relevant
            ]
            if own:
                cells.setdefault((int(x), y), []).append(sum(own) / len(own))
    mono = [np.mean(v) for (x, y), v in cells.items() if x == y]
    cross = [np.mean(v) for (x, y), v in cells.items() if x != y]
    means = [np.mean(part) for part in (mono, cross) if part]
    return {
        "loss": float(np.mean(means)),
        "loss_monolingual": float(np.mean(mono)) if mono else math.nan,
        "loss_cross_lingual": float(np.mean(cross)) if cross else math.nan,
    }


@pytest.mark.parametrize("languages", [1, 3])
def test_equals_a_plain_loop(languages: int) -> None:
    benchmark = random_benchmark(5, languages=languages, groups=30, extra=20)
    queries, candidates = unit(1, len(benchmark.query_ids)), unit(2, len(benchmark.candidate_ids))

    found = benchmark_loss(queries, candidates, benchmark, 0.1)

    expected = plain_loop(queries, candidates, benchmark, 0.1)
    assert found == pytest.approx(expected, abs=1e-5, nan_ok=True)
    assert math.isnan(found["loss_cross_lingual"]) == (languages == 1)


def test_with_one_answer_it_is_the_validation_loss() -> None:
    groups, languages = 40, 2
    count = groups * languages
    language = np.repeat(np.arange(languages, dtype=np.int16), groups)
    group = np.tile(np.arange(groups), languages)
    ids = [f"{y}:{g}" for y, g in zip(language, group, strict=True)]
    relevant = [np.flatnonzero(group == g) for g in group]
    benchmark = Benchmark(
        *("small", ("de", "en"), ids, ids, [str(g) for g in group], language, ids, ids, language),
        relevant_offsets=np.arange(0, count * languages + 1, languages),
        relevant=np.concatenate(relevant),
    )
    queries, candidates = unit(3, count), unit(4, count)
    metric = ValidationLoss(8, 0.05)
    keys = torch.from_numpy(group), torch.from_numpy(group), torch.from_numpy(language).long()
    metric.update("query", torch.from_numpy(queries), *keys)
    metric.update("passage", torch.from_numpy(candidates), *keys)

    expected = {name: float(value) for name, value in metric.compute().items()}

    assert benchmark_loss(queries, candidates, benchmark, 0.05) == pytest.approx(expected, abs=1e-5)
