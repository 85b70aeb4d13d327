"""Every metric in every setting equals pytrec_eval's on the same scores."""

from heapq import nlargest
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.xquad_r import xquad_r
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.evaluation.results import Results

from .synthetic import exact_embeddings, random_benchmark

TREC_NAME = {
    "map": "map",
    "recall@1": "recall_1",
    "recall@10": "recall_10",
    "ndcg@10": "ndcg_cut_10",
}


def trec_eval(
    benchmark: Benchmark, scores: np.ndarray, queries: np.ndarray, kept: np.ndarray
) -> dict[str, float]:
    """Mean metrics over those of `queries` that have a relevant candidate among `kept`."""
    is_kept = np.zeros(len(benchmark.candidate_ids), dtype=bool)
    is_kept[kept] = True
    ids = [benchmark.candidate_ids[i] for i in kept]
    qrels, run, top10, top20 = {}, {}, {}, {}
    for q in queries:
        span = slice(*benchmark.relevant_offsets[q : q + 2])
        relevant = {benchmark.candidate_ids[i]: 1 for i in benchmark.relevant[span] if is_kept[i]}
        if relevant:
            qid = benchmark.query_ids[q]
            qrels[qid] = relevant
            run[qid] = dict(zip(ids, scores[q, kept].tolist(), strict=True))
            ordered = nlargest(20, ((score, i) for i, score in run[qid].items()))
            top10[qid] = {i: score for score, i in ordered[:10]}
            top20[qid] = {i: score for score, i in ordered}
    if not qrels:
        return {}
    evaluator = pytrec_eval.RelevanceEvaluator(qrels, {"map", "recall.1,10", "ndcg_cut.10", "recip_rank"})
    full, at10, at20 = evaluator.evaluate(run), evaluator.evaluate(top10), evaluator.evaluate(top20)
    means = {key: np.mean([of[name] for of in full.values()]) for key, name in TREC_NAME.items()}
    means["mrr@10"] = np.mean([of["recip_rank"] for of in at10.values()])
    means["map@20"] = np.mean([at20[q]["map"] * len(qrels[q]) / min(len(qrels[q]), 20) for q in qrels])
    return {key: float(value) for key, value in means.items()}


def assert_pair_agrees(results: Results, benchmark: Benchmark, scores: np.ndarray, x: int, y: int) -> None:
    expected = trec_eval(
        benchmark,
        scores,
        np.flatnonzero(benchmark.query_language == x),
        np.flatnonzero(benchmark.candidate_language == y),
    )
    a, b = benchmark.languages[x], benchmark.languages[y]
    found = results.metrics["per_language"][a]["monolingual"] if x == y else results.metrics["per_pair"][a][b]
    if expected:
        assert found == pytest.approx(expected, abs=1e-6)
    else:
        assert all(np.isnan(value) for value in found.values())


def assert_pool_agrees(results: Results, benchmark: Benchmark, scores: np.ndarray, x: int) -> None:
    queries = np.flatnonzero(benchmark.query_language == x)
    expected = trec_eval(benchmark, scores, queries, np.arange(len(benchmark.candidate_ids)))
    found = results.metrics["per_language"][benchmark.languages[x]]["multilingual"]
    assert found == pytest.approx(expected, abs=1e-6)


def macro(values: list[dict[str, float]]) -> dict[str, float]:
    known = [of for of in values if not np.isnan(of["map"])]
    return {key: float(np.mean([of[key] for of in known])) for key in known[0]}


@pytest.mark.parametrize("seed", range(8))
def test_agrees_on_synthetic_data_with_ties(seed: int) -> None:
    benchmark = random_benchmark(seed, languages=3, groups=12, extra=60)
    queries = exact_embeddings(seed, len(benchmark.query_ids))
    candidates = exact_embeddings(seed + 100, len(benchmark.candidate_ids))
    results = evaluate_embeddings(queries, candidates, benchmark)
    scores = queries @ candidates.T
    for x in range(3):
        assert_pool_agrees(results, benchmark, scores, x)
        for y in range(3):
            assert_pair_agrees(results, benchmark, scores, x, y)
    by_language = results.metrics["per_language"].values()
    pairs = [of for row in results.metrics["per_pair"].values() for of in row.values()]
    assert results.metrics["cross_lingual"] == pytest.approx(macro(pairs))
    for setting in ("monolingual", "multilingual"):
        assert results.metrics[setting] == pytest.approx(macro([of[setting] for of in by_language]))


def test_tie_order_is_that_of_trec_eval() -> None:
    """Ids descending by bytes, whatever the script; scores that differ only beyond float32 are equal."""
    ids = ["en:10", "en:9", "EN:9", "ar:9", "é", "e", "ß", "中", "𝔸", "\uffee", "z"]
    benchmark = Benchmark(
        name="ties",
        languages=("en",),
        query_ids=["q"],
        query_texts=[""],
        query_group=["q"],
        query_language=np.zeros(1, dtype=np.int16),
        candidate_ids=ids,
        candidate_texts=ids,
        candidate_language=np.zeros(len(ids), dtype=np.int16),
        relevant_offsets=np.array([0, 1]),
        relevant=np.array([0]),
    )
    generator = np.random.default_rng(0)
    for position, candidate_id in enumerate(ids):
        run = {other: 0.5 + 1e-10 * float(generator.random()) for other in ids}
        evaluator = pytrec_eval.RelevanceEvaluator({"q": {candidate_id: 1}}, {"recip_rank"})
        assert 1 / evaluator.evaluate({"q": run})["q"]["recip_rank"] == pytest.approx(
            benchmark.tie_order[position] + 1
        )


def hashed_ngrams(texts: list[str], dimension: int = 256) -> np.ndarray:
    """Counts of hashed character trigrams in steps of 1/64 and at most 1: inner products are exact."""
    rows = np.zeros((len(texts), dimension), dtype=np.float64)
    for row, text in enumerate(texts):
        codes = np.array([ord(character) for character in text.lower()], dtype=np.int64)
        keys = (codes[:-2] * 8191 + codes[1:-1] * 131 + codes[2:]) % 100003 % dimension
        np.add.at(rows[row], keys, 1.0)
    rows /= np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1)
    return (np.round(rows * 64) / 64).astype(np.float32)


def test_agrees_on_xquad_r(xquad_r_folder: Path) -> None:
    """A whole monolingual setting, a cross-lingual pair and part of the multilingual one, on real texts."""
    benchmark = xquad_r(xquad_r_folder, languages=["en", "es", "th"])
    queries, candidates = hashed_ngrams(benchmark.query_texts), hashed_ngrams(benchmark.candidate_texts)
    results = evaluate_embeddings(queries, candidates, benchmark)
    english, spanish = benchmark.languages.index("en"), benchmark.languages.index("es")
    scores = queries @ candidates.T
    assert_pair_agrees(results, benchmark, scores, english, english)
    assert_pair_agrees(results, benchmark, scores, spanish, english)
    assert results.metrics["per_language"]["en"]["monolingual"]["map"] > 0.4

    some = np.flatnonzero(benchmark.query_language == spanish)[:100]
    expected = trec_eval(benchmark, scores, some, np.arange(len(benchmark.candidate_ids)))
    table = results.per_query.take(some)
    for key, value in expected.items():
        assert np.mean(table[f"multilingual/{key}"].to_numpy()) == pytest.approx(value, abs=1e-6)
