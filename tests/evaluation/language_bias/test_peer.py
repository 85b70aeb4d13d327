import math
from collections.abc import Mapping

import numpy as np
import pytest
from peer_measure import PEER, PEEREvaluator  # type: ignore[import-untyped]
from scipy.stats import chi2, kruskal

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.peer import peer

from .by_hand import benchmark_of, random_orders, ranking_of


def p_of_two_languages(h: float) -> float:
    """Survival function of chi-square with one degree of freedom."""
    return math.erfc(math.sqrt(h / 2))


def test_other_documents_by_hand() -> None:
    """German at 1 and 2, English at 3 and 4: means 1.5 and 3.5, H = 3 * 4 / 5."""
    benchmark = benchmark_of([("de", "a", [4])], "de de en en de en")
    ranking = ranking_of(benchmark, [[0, 1, 2, 3, 4, 5]])
    assert peer(ranking, benchmark, cutoff=5, weights={0: 1.0}) == pytest.approx([p_of_two_languages(2.4)])


def test_a_relevant_document_beyond_the_cutoff_by_hand() -> None:
    """German at 1 and 2, English at 3 and beyond, which counts as (2 * 4 + 1 + 1) / 2 = 5: H = 15 / 7."""
    benchmark = benchmark_of([("de", "a", [0, 1, 2, 3])], "de de en en en en")
    ranking = ranking_of(benchmark, [[0, 1, 2, 4, 5, 3]])
    found = peer(ranking, benchmark, cutoff=5, weights={1: 1.0})
    assert found == pytest.approx([p_of_two_languages(15 / 7)])


def test_equals_the_test_of_scipy() -> None:
    languages = ["de", "en", "fr"] * 20
    benchmark = benchmark_of([("de", "a", [0])], " ".join(languages))
    order = [*(np.random.default_rng(0).permutation(59) + 1).tolist(), 0]
    ranks = {code: [r for r, i in enumerate(order[:-1]) if languages[i] == code] for code in languages}
    found = peer(ranking_of(benchmark, [order]), benchmark, weights={0: 1.0})
    assert found == pytest.approx([kruskal(*ranks.values()).pvalue], abs=1e-12)


def test_what_leaves_nothing_to_compare_is_fair() -> None:
    """One language only; nothing retrieved; equal ranks (one at 3, one not retrieved, which counts as 3)."""
    one = benchmark_of([("de", "a", [0, 1])], "de de en en en")
    assert peer(ranking_of(one, [[0, 2, 3, 4, 1]]), one, weights={1: 1.0}) == pytest.approx([1])
    both = benchmark_of([("de", "a", [0, 2])], "de de en en en")
    assert peer(ranking_of(both, [[1, 3, 4, 0, 2]]), both, cutoff=3, weights={1: 1.0}) == pytest.approx([1])
    assert peer(ranking_of(both, [[1, 3, 0, 4, 2]]), both, cutoff=4, weights={1: 1.0}) == pytest.approx([1])


def test_one_answer_per_language_makes_the_relevant_level_a_constant() -> None:
    benchmark = benchmark_of([("de", "a", [0, 1, 2])] * 9, "de en fr " + "de en fr " * 20)
    orders = random_orders(np.random.default_rng(1), benchmark)
    found = peer(ranking_of(benchmark, orders), benchmark, weights={1: 1.0})
    assert found == pytest.approx(np.full(9, chi2.sf(2, 2)))
    default = peer(ranking_of(benchmark, orders), benchmark)
    others = peer(ranking_of(benchmark, orders), benchmark, weights={0: 1.0})
    assert default == pytest.approx((found + others) / 2)
    assert len(np.unique(default)) == 9


def test_default_weights_ignore_grades() -> None:
    queries = [("de", "a", [0, 1, 2, 3])]
    graded = benchmark_of(queries, "de en fr en de fr", grades=[3, 1, 2, 1])
    binary = benchmark_of(queries, "de en fr en de fr")
    order = [[5, 0, 3, 2, 1, 4]]
    assert peer(ranking_of(graded, order), graded) == peer(ranking_of(binary, order), binary)


def by_peer_measure(
    benchmark: Benchmark, orders: np.ndarray, cutoff: int, weights: Mapping[int, float]
) -> np.ndarray:
    ids, grades = benchmark.candidate_ids, benchmark.grades
    language = {i: benchmark.languages[x] for i, x in zip(ids, benchmark.candidate_language, strict=True)}
    run, qrels = {}, {}
    for q, query in enumerate(benchmark.query_ids):
        pairs = slice(*benchmark.relevant_offsets[q : q + 2])
        relevant, of_query = benchmark.relevant[pairs], grades[pairs] if grades is not None else None
        qrels[query] = {ids[i]: 1 if of_query is None else int(of_query[n]) for n, i in enumerate(relevant)}
        # The package fails on unjudged documents unless some document is judged 0.
        qrels[query][next(name for i, name in enumerate(ids) if i not in relevant)] = 0
        run[query] = {ids[i]: float(-rank) for rank, i in enumerate(orders[q])}
    measure = PEER(weights=dict(weights), lang_mapping=language) @ cutoff
    # The package's provider asks for a function that newer versions of ir_measures do not have.
    key = id(language)
    evaluator = PEEREvaluator([measure], qrels, {key: [(cutoff, measure)]}, {key: language})
    found = {metric.query_id: metric.value for metric in evaluator.iter_calc(run)}
    return np.array([found[query] for query in benchmark.query_ids])


@pytest.mark.parametrize("seed", range(30))
@pytest.mark.filterwarnings("ignore:invalid value encountered")
def test_agrees_with_the_authors_package(seed: int) -> None:
    generator = np.random.default_rng(seed)
    codes = ["de", "en", "fr", "zh"][: generator.integers(2, 5)]
    candidates = generator.choice(codes, 40)
    queries = [
        (str(generator.choice(codes)), str(q), generator.choice(40, generator.integers(1, 9), False).tolist())
        for q in range(8)
    ]
    pairs = sum(len(relevant) for _, _, relevant in queries)
    graded = seed % 2 == 1
    grades = generator.integers(1, 4, pairs).tolist() if graded else None
    weights = {0: 0.1, 1: 0.2, 2: 0.3, 3: 0.4} if graded else {0: 0.5, 1: 0.5}
    benchmark = benchmark_of(queries, " ".join(candidates), grades)
    orders = random_orders(generator, benchmark)
    cutoff = int(generator.choice([1, 3, 10, 30, 40]))
    expected = by_peer_measure(benchmark, orders, cutoff, weights)
    found = peer(ranking_of(benchmark, orders), benchmark, cutoff=cutoff, weights=weights)
    defined = ~np.isnan(expected)  # it divides 0 by 0 where all ranks are equal
    assert defined.sum() >= 6
    np.testing.assert_allclose(found[defined], expected[defined], rtol=0, atol=1e-9)
    assert ((found >= 0) & (found <= 1)).all()


def test_weights_and_depth_are_checked() -> None:
    benchmark = benchmark_of([("de", "a", [0])], "de en en en")
    with pytest.raises(ValueError, match=r"add up to 1, not 0\.9"):
        peer(ranking_of(benchmark, [[0, 1, 2, 3]]), benchmark, weights={0: 0.4, 1: 0.5})
    with pytest.raises(ValueError, match="has the first 2 candidates; 3 are needed"):
        peer(ranking_of(benchmark, [[0, 1, 2, 3]], top=2), benchmark, cutoff=3)
