import os
import socket
from pathlib import Path

import numpy as np
import pytest
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
