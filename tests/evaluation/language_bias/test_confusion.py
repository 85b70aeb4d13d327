import json
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.evaluation.language_bias.confusion import CUTOFFS, confusion
from hybrid_retrieval.evaluation.language_bias.document_language import top_share
from hybrid_retrieval.evaluation.language_bias.top import language_share_of_pool
from hybrid_retrieval.evaluation.ranking import Ranking

from ..synthetic import exact_embeddings, random_benchmark
from .by_hand import EXAMPLE, EXAMPLE_ORDERS, benchmark_of, random_orders, ranking_of


def by_plain_loop(ranking: Ranking, benchmark: Benchmark, k: int) -> list[list[float]]:
    """Look at every query's first k candidates, one by one."""
    table = []
    for x in range(len(benchmark.languages)):
        rows = []
        for query, language in enumerate(benchmark.query_language):
            if language != x:
                continue
            top = [int(benchmark.candidate_language[i]) for i in ranking.top[query][:k]]
            rows.append([top.count(y) / len(top) for y in range(len(benchmark.languages))])
        table.append([sum(column) / len(rows) for column in zip(*rows, strict=True)])
    return table


def test_by_hand() -> None:
    """Of three: German queries see 2 of 3 German twice; English queries 1 of 3 German twice."""
    ranking = ranking_of(EXAMPLE, EXAMPLE_ORDERS)

    assert confusion(ranking, EXAMPLE, k=3) == pytest.approx(np.array([[2 / 3, 1 / 3], [1 / 3, 2 / 3]]))
    assert confusion(ranking, EXAMPLE, k=1) == pytest.approx(np.array([[1, 0], [1 / 2, 1 / 2]]))


@pytest.mark.parametrize("k", [*CUTOFFS, 7, 1000])
def test_equals_a_plain_loop(k: int) -> None:
    benchmark = random_benchmark(k, languages=4, groups=13, extra=40)
    ranking = ranking_of(benchmark, random_orders(np.random.default_rng(k), benchmark), top=1000)

    found = confusion(ranking, benchmark, k=k)

    np.testing.assert_allclose(found, by_plain_loop(ranking, benchmark, k), atol=1e-12)
    np.testing.assert_allclose(found.sum(axis=1), 1)
    np.testing.assert_allclose(found.mean(axis=0), top_share(ranking, benchmark, k=k))
    if k == 1000:
        np.testing.assert_allclose(found, np.tile(language_share_of_pool(benchmark), (4, 1)))


def test_a_language_without_queries_has_no_row() -> None:
    benchmark = benchmark_of([("de", "a", [0]), ("de", "b", [0])], "de en")

    found = confusion(ranking_of(benchmark, [[0, 1], [1, 0]]), benchmark, k=1)

    np.testing.assert_allclose(found, [[0.5, 0.5], [np.nan, np.nan]])


def test_metrics_json_holds_the_diagonal_of_a_retriever_that_sees_only_the_language(tmp_path: Path) -> None:
    benchmark = random_benchmark(0, languages=3, groups=10, extra=30, complete=True)
    language = np.eye(3, dtype=np.float32)
    results = evaluate_embeddings(
        language[benchmark.query_language], language[benchmark.candidate_language], benchmark
    )

    written = json.loads(results.write(tmp_path).read_text(encoding="utf-8"))["confusion"]

    assert list(written) == [f"top@{k}" for k in CUTOFFS]
    identity = {x: {y: float(x == y) for y in benchmark.languages} for x in benchmark.languages}
    assert written["top@1"] == written["top@10"] == identity


def test_where_all_candidates_are_in_one_language_nothing_is_confused(tmp_path: Path) -> None:
    benchmark = benchmark_of([("en", "a", [0]), ("de", "a", [0])], "en en en")
    embeddings = exact_embeddings(0, 2, 8), exact_embeddings(1, 3, 8)

    written = json.loads(evaluate_embeddings(*embeddings, benchmark).write(tmp_path).read_text("utf-8"))

    assert written["confusion"]["top@1"]["de"] == {"de": None, "en": None}
