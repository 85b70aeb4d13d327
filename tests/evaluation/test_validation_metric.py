import os
import socket
from pathlib import Path

import numpy as np
import pytest
import pytrec_eval
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.evaluation.validation_metric import ParallelRetrieval

from .synthetic import exact_embeddings, random_benchmark

Item = tuple[str, list[float], int, int, int]


def items(seed: int = 0) -> tuple[list[Item], dict[str, float]]:
    """Parallel queries and passages in 3 languages, and what `evaluate_embeddings` makes of them."""
    benchmark = random_benchmark(seed, languages=3, groups=12, extra=0, complete=True)
    queries = exact_embeddings(seed, len(benchmark.query_ids), levels=9)
    candidates = exact_embeddings(seed + 1, len(benchmark.candidate_ids), levels=9)
    metrics = evaluate_embeddings(queries, candidates, benchmark).metrics
    expected = {
        f"map_{name}": metrics[name]["map"] for name in ("monolingual", "cross_lingual", "multilingual")
    }
    expected["rank_distance"] = metrics["language_bias"]["rank_distance"]
    rows: list[Item] = []
    for i, (group, language) in enumerate(zip(benchmark.query_group, benchmark.query_language, strict=True)):
        rows.append(("query", queries[i].tolist(), int(group), 100 + int(group), int(language)))
    for i, (candidate_id, language) in enumerate(
        zip(benchmark.candidate_ids, benchmark.candidate_language, strict=True)
    ):
        number = int(candidate_id.split(":")[1].split("-")[0])
        rows.append(("passage", candidates[i].tolist(), number, 100 + number, int(language)))
    return rows, expected


def add(metric: ParallelRetrieval, rows: list[Item]) -> None:
    for kind in ("passage", "query"):
        of_kind = [row for row in rows if row[0] == kind]
        if of_kind:
            _, embeddings, *ids = zip(*of_kind, strict=True)
            metric.update(kind, torch.tensor(embeddings), *(torch.tensor(column) for column in ids))


def values(metric: ParallelRetrieval) -> dict[str, float]:
    return {key: float(value) for key, value in metric.compute().items()}


@pytest.mark.filterwarnings("ignore:The ``compute`` method")
def test_equals_the_evaluation() -> None:
    rows, expected = items()
    metric = ParallelRetrieval()
    add(metric, rows)
    assert values(metric) == pytest.approx(expected, rel=1e-6)
    metric.reset()
    assert all(np.isnan(value) for value in values(metric).values())


@pytest.mark.parametrize("seed", range(5))
def test_order_batches_and_repeats_do_not_matter(seed: int) -> None:
    rows, expected = items()
    generator = np.random.default_rng(seed)
    order = np.concatenate([generator.permutation(len(rows)), generator.integers(0, len(rows), size=9)])
    metric = ParallelRetrieval()
    for part in np.array_split(order, 7):
        add(metric, [rows[i] for i in part])
    assert values(metric) == pytest.approx(expected, rel=1e-6)


def test_one_language_has_no_cross_lingual_setting() -> None:
    metric = ParallelRetrieval()
    add(metric, [row for row in items()[0] if row[4] == 1])
    found = values(metric)
    assert np.isnan(found["map_cross_lingual"])
    assert np.isnan(found["rank_distance"])
    assert found["map_monolingual"] == pytest.approx(found["map_multilingual"])


def test_items_that_share_a_passage_share_one_candidate() -> None:
    """Two questions on one passage: the passage stands in the pool once, and answers both."""
    metric = ParallelRetrieval()
    items_, shared, language = (
        torch.tensor([1, 2, 3]),
        torch.tensor([7, 7, 8]),
        torch.zeros(3, dtype=torch.int64),
    )
    metric.update("query", torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]]), items_, shared, language)
    metric.update("passage", torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.5, 0.5]]), items_, shared, language)
    assert values(metric)["map_monolingual"] == pytest.approx((1 + 1 / 2 + 1 / 2) / 3)


# Query, positive, and the languages that have the question and its passage.
TRIPLES = [
    (0, 10, (0, 1, 2)),
    (0, 11, (0, 1)),
    (0, 12, (2,)),
    (1, 11, (0, 1, 2)),  # of two queries
    (2, 13, (0,)),
    (2, 14, (1, 2)),  # another passage in other languages
    (3, 15, (0, 1, 2)),
]


def by_pytrec_eval(queries: np.ndarray, passages: np.ndarray) -> dict[str, float]:
    """Each query of a language once, all its positives relevant; queries (4, 3, d), passages (6, 3, d)."""
    asked = {(query, language) for query, _, languages in TRIPLES for language in languages}
    there = sorted((language, passage) for _, passage, languages in TRIPLES for language in languages)
    of_query = {query: {p for q, p, _ in TRIPLES if q == query} for query in range(4)}
    # Equal scores: document id, descending; ours is the language, then the passage, descending.
    pools: list[set[int]] = [{0}, {1}, {2}, {0, 1, 2}]
    averages: dict[tuple[int, int], list[float]] = {}
    distances: dict[int, list[float]] = {}
    for pool_number, pool in enumerate(pools):
        run: dict[str, dict[str, float]] = {}
        qrels: dict[str, dict[str, int]] = {}
        for query, language in asked:
            names = {f"{code}-{passage}": (code, passage) for code, passage in there if code in pool}
            relevant = {name: 1 for name, (_, passage) in names.items() if passage in of_query[query]}
            if relevant:
                run[f"{query} {language}"] = {
                    name: float(queries[query, language] @ passages[passage - 10, code])
                    for name, (code, passage) in names.items()
                }
                qrels[f"{query} {language}"] = relevant
        for name, found in pytrec_eval.RelevanceEvaluator(qrels, {"map"}).evaluate(run).items():
            averages.setdefault((int(name.split()[1]), pool_number), []).append(found["map"])
    for query, language in asked:
        scores = {
            (code, p): float(queries[query, language] @ passages[p - 10, code]) for code, p in set(there)
        }
        order = sorted(scores, key=lambda key: (-scores[key], -key[0], -key[1]))
        ranks = [
            [order.index((code, p)) for code, other in set(there) if other == p] for p in of_query[query]
        ]
        spans = [max(of) - min(of) for of in ranks if len(of) > 1]
        if spans:
            distances.setdefault(language, []).append(float(np.mean(spans)))
    means = {key: float(np.mean(values)) for key, values in averages.items()}
    return {
        "map_monolingual": float(np.mean([means[x, x] for x in range(3)])),
        "map_cross_lingual": float(np.mean([means[x, y] for x in range(3) for y in range(3) if x != y])),
        "map_multilingual": float(np.mean([means[x, 3] for x in range(3)])),
        "rank_distance": float(np.mean([np.mean(of) for of in distances.values()])),
    }


@pytest.mark.parametrize("seed", range(4))
def test_all_positives_of_a_query_count_as_pytrec_eval_counts_them(seed: int) -> None:
    queries, passages = exact_embeddings(seed, 12).reshape(4, 3, 4), exact_embeddings(seed + 9, 18)
    passages = passages.reshape(6, 3, 4)
    rows = [
        (item, query, passage, language)
        for item, (query, passage, languages) in enumerate(TRIPLES)
        for language in languages
    ]
    metric = ParallelRetrieval()
    for kind in ("query", "passage"):
        for item, query, passage, language in np.random.default_rng(seed).permutation(rows).tolist():
            embedding = queries[query, language] if kind == "query" else passages[passage - 10, language]
            keys = (torch.tensor([number]) for number in (item, passage, language))
            metric.update(kind, torch.tensor(embedding)[None], *keys, query_ids=torch.tensor([query]))
    assert values(metric) == pytest.approx(by_pytrec_eval(queries, passages), rel=1e-6)


def test_a_diverged_model_does_not_look_good() -> None:
    metric = ParallelRetrieval()
    rows, _ = items()
    add(metric, [*rows, ("passage", [float("nan")] * 4, 99, 199, 0)])
    assert all(np.isnan(value) for value in values(metric).values())


def test_ids_must_fit_the_embeddings() -> None:
    ids = torch.zeros(3, dtype=torch.int64)
    with pytest.raises(ValueError, match="2 embeddings"):
        ParallelRetrieval().update("query", torch.zeros(2, 4), ids, ids, ids)


def _worker(rank: int, port: int, rows: list[Item], folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    parts = {
        "halves, some of it twice": rows[rank::2] + rows[:2],
        "one rank has nothing": [] if rank else rows,
    }
    found = {}
    for name, part in parts.items():
        metric = ParallelRetrieval()
        add(metric, part)
        found[name] = values(metric)
    torch.save(found, Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_result_of_one(tmp_path: Path) -> None:
    rows, expected = items()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_worker, args=(port, rows, str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert len(found) == 2
        for values_of_part in found.values():
            assert values_of_part == pytest.approx(expected, rel=1e-6)
