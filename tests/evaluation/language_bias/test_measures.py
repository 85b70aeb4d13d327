import dataclasses

import numpy as np
import pytest

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.language_bias.catalogue import BY_DOCUMENT_LANGUAGE, BY_QUERY
from hybrid_retrieval.evaluation.language_bias.measures import TOP, LanguageBias, measure_language_bias
from hybrid_retrieval.evaluation.ranking import rank_benchmark

from ..synthetic import exact_embeddings, random_benchmark
from .by_hand import EXAMPLE, EXAMPLE_ORDERS, benchmark_of, ranking_of


def measure(benchmark: Benchmark, queries: np.ndarray, candidates: np.ndarray) -> LanguageBias:
    ranking = rank_benchmark(
        queries,
        candidates,
        benchmark,
        top=TOP,
    )
    return measure_language_bias(ranking, benchmark)


def test_the_catalogue_names_exactly_the_keys() -> None:
    found = measure_language_bias(ranking_of(EXAMPLE, EXAMPLE_ORDERS), EXAMPLE)
    assert list(found.per_query) == list(BY_QUERY)
    assert list(found.per_document_language) == list(BY_DOCUMENT_LANGUAGE)
    assert list(BY_QUERY)[:5] == ["rank_distance", "peer", "lpr", "lang_ndcg@10", "mrc@10"]


@pytest.mark.parametrize("seed", range(3))
def test_order_of_queries_languages_and_candidates_does_not_matter(seed: int) -> None:
    benchmark = random_benchmark(seed, languages=4, groups=20, extra=150)
    queries = exact_embeddings(seed, len(benchmark.query_ids), 16, levels=9)
    candidates = exact_embeddings(seed + 1, len(benchmark.candidate_ids), 16, levels=9)
    expected = measure(benchmark, queries, candidates)

    generator = np.random.default_rng(seed)
    new_language = generator.permutation(4)
    of_query, of_candidate = generator.permutation(len(queries)), generator.permutation(len(candidates))
    new_position = np.argsort(of_candidate)
    answers = np.split(benchmark.relevant, benchmark.relevant_offsets[1:-1])
    relevant = [new_position[answers[q]] for q in of_query]
    moved = Benchmark(
        name="moved",
        languages=tuple(benchmark.languages[i] for i in np.argsort(new_language)),
        query_ids=[benchmark.query_ids[q] for q in of_query],
        query_texts=[benchmark.query_texts[q] for q in of_query],
        query_group=[benchmark.query_group[q] for q in of_query],
        query_language=new_language[benchmark.query_language][of_query],
        candidate_ids=[benchmark.candidate_ids[i] for i in of_candidate],
        candidate_texts=[benchmark.candidate_texts[i] for i in of_candidate],
        candidate_language=new_language[benchmark.candidate_language][of_candidate],
        relevant_offsets=np.cumsum([0, *map(len, relevant)]),
        relevant=np.concatenate(relevant),
    )
    found = measure(moved, queries[of_query], candidates[of_candidate])
    for key, values in expected.per_query.items():
        np.testing.assert_allclose(found.per_query[key], values[of_query], atol=1e-12, err_msg=key)
    for key, values in expected.per_document_language.items():
        np.testing.assert_allclose(
            found.per_document_language[key][new_language], values, atol=1e-12, err_msg=key
        )
    for key, shares in expected.confusion.items():
        moved_shares = found.confusion[key][np.ix_(new_language, new_language)]
        np.testing.assert_allclose(moved_shares, shares, atol=1e-12, err_msg=key)


def test_two_extremes() -> None:
    """A retriever that knows only the language, and one that does not see it."""
    benchmark = random_benchmark(0, languages=4, groups=12, extra=0, complete=True)
    groups = np.array([int(group) for group in benchmark.query_group])
    of_candidate = np.array([int(i.split(":")[1].split("-")[0]) for i in benchmark.candidate_ids])
    language, group = np.eye(4, dtype=np.float32), np.eye(12, dtype=np.float32)

    by_language = measure(
        benchmark, language[benchmark.query_language], language[benchmark.candidate_language]
    ).per_query
    assert by_language["lpr"].mean() == 1
    assert by_language["same_language_preference"] == pytest.approx(np.full(48, 1 - 1 / 4))
    assert by_language["mrc@10"].mean() < -0.5
    assert by_language["top1_nonrelevant_other_language"].sum() == 0

    by_meaning = measure(benchmark, group[groups], group[of_candidate]).per_query
    assert by_meaning["lpr"].mean() == pytest.approx(1 / 4)
    assert by_meaning["mrc@10"] == pytest.approx(np.ones(48))
    assert by_meaning["rank_distance"] == pytest.approx(np.full(48, 3))
    assert by_meaning["top1_relevant_same_language"].mean() == pytest.approx(1 / 4)
    assert by_meaning["peer"].mean() > by_language["peer"].mean()


def test_candidates_of_one_language_have_no_bias_but_translations_can_be_compared() -> None:
    one = benchmark_of([("en", "a", [0, 1]), ("en", "b", [2])], "en en en")
    found = measure_language_bias(ranking_of(one, [[0, 1, 2], [2, 0, 1]]), one)
    every = [*found.per_query.values(), *found.per_document_language.values()]
    assert all(np.isnan(values).all() for values in every)
    assert {len(values) for values in found.per_query.values()} == {2}

    several = benchmark_of([("en", "a", [0]), ("de", "a", [0])], "en en en")
    found = measure_language_bias(ranking_of(several, [[0, 1, 2], [0, 2, 1]]), several)
    assert found.per_query["mrc@10"] == pytest.approx([0.5, 0.5])
    others = {key: values for key, values in found.per_query.items() if key != "mrc@10"}
    assert all(np.isnan(values).all() for values in others.values())


def test_a_ranking_that_is_not_deep_enough_is_refused() -> None:
    ranking = dataclasses.replace(ranking_of(EXAMPLE, EXAMPLE_ORDERS), top=np.zeros((4, 3), dtype=np.int32))
    with pytest.raises(ValueError, match="the first 3 candidates; 7 are needed"):
        measure_language_bias(ranking, EXAMPLE)
