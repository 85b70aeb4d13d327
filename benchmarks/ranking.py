"""Exact ranks by counting against pytrec_eval on the same scores: see `make bench`."""

import statistics
import time
from collections.abc import Callable

import numpy as np
import pytrec_eval

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings

LANGUAGES = ("ar", "de", "en")
QUERIES, DIMENSION, REPEATS = 200, 384, 3


def synthetic() -> tuple[Benchmark, np.ndarray, np.ndarray]:
    """Parallel queries with one relevant candidate in each language, and noisy unit vectors for both."""
    generator = np.random.default_rng(0)
    count, languages = QUERIES, len(LANGUAGES)
    meaning = generator.standard_normal((count, DIMENSION))
    language = np.repeat(np.arange(languages, dtype=np.int16), count)

    def embeddings() -> np.ndarray:
        noisy = np.tile(meaning, (languages, 1)) + 2 * generator.standard_normal(
            (count * languages, DIMENSION)
        )
        return (noisy / np.linalg.norm(noisy, axis=1, keepdims=True)).astype(np.float32)

    ids = [f"{LANGUAGES[i]}:{n}" for i in range(languages) for n in range(count)]
    benchmark = Benchmark(
        name="synthetic",
        languages=LANGUAGES,
        query_ids=ids,
        query_texts=ids,
        query_group=[i.split(":")[1] for i in ids],
        query_language=language,
        candidate_ids=ids,
        candidate_texts=ids,
        candidate_language=language,
        relevant_offsets=np.arange(len(ids) + 1, dtype=np.int64) * languages,
        relevant=(np.tile(np.arange(count), languages)[:, None] + count * np.arange(languages)).ravel(),
    )
    return benchmark, embeddings(), embeddings()


def with_pytrec_eval(benchmark: Benchmark, queries: np.ndarray, candidates: np.ndarray) -> float:
    """Build qrels and runs of every setting, and evaluate; gives multilingual mAP."""
    scores = queries @ candidates.T
    measures = {"map", "recall.1,10", "ndcg_cut.10", "recip_rank"}
    pools = [np.arange(len(candidates))]
    pools += [np.flatnonzero(benchmark.candidate_language == i) for i in range(len(LANGUAGES))]
    values: list[float] = []
    for pool in pools:
        inside = set(pool.tolist())
        qrels, run = {}, {}
        for q, name in enumerate(benchmark.query_ids):
            relevant = benchmark.relevant[benchmark.relevant_offsets[q] : benchmark.relevant_offsets[q + 1]]
            qrels[name] = {benchmark.candidate_ids[c]: 1 for c in relevant if int(c) in inside}
            run[name] = {benchmark.candidate_ids[c]: float(scores[q, c]) for c in pool}
        result = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
        values.append(float(np.mean([of["map"] for of in result.values()])))
    return values[0]


def seconds(work: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def main() -> None:
    """Alternate the two, print the median ratio and that they agree."""
    data = synthetic()
    benchmark, queries, candidates = data
    ours = evaluate_embeddings(queries, candidates, benchmark).metrics["multilingual"]["map"]
    theirs = with_pytrec_eval(*data)
    assert abs(ours - theirs) < 1e-6, (ours, theirs)
    ratios = []
    for _ in range(REPEATS):
        slow = seconds(lambda: with_pytrec_eval(*data))
        fast = seconds(lambda: evaluate_embeddings(queries, candidates, benchmark))
        ratios.append(slow / fast)
    print(
        f"ranking {len(queries)} queries x {len(candidates)} candidates in three settings, equal mAP: "
        f"pytrec_eval takes {statistics.median(ratios):.0f} times as long "
        f"({min(ratios):.0f} to {max(ratios):.0f}, {REPEATS} runs in turn)"
    )


if __name__ == "__main__":
    main()
