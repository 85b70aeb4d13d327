import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import spawn

from hybrid_retrieval.evaluation.benchmark_metric import BenchmarkRetrieval
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.losses.benchmark_loss import benchmark_loss

from .synthetic import exact_embeddings, random_benchmark

BENCHMARK = random_benchmark(3, languages=3, groups=12, extra=9)
QUERIES = exact_embeddings(0, len(BENCHMARK.query_ids), levels=9)
CANDIDATES = exact_embeddings(1, len(BENCHMARK.candidate_ids), levels=9)


def expected() -> dict[str, float]:
    metrics = evaluate_embeddings(QUERIES, CANDIDATES, BENCHMARK).metrics
    settings = ("monolingual", "cross_lingual", "multilingual")
    values = {f"{key}_{setting}": value for setting in settings for key, value in metrics[setting].items()}
    return values | metrics["language_bias"] | benchmark_loss(QUERIES, CANDIDATES, BENCHMARK, 0.05)


def add(metric: BenchmarkRetrieval, kind: str, rows: np.ndarray) -> None:
    embeddings = QUERIES if kind == "query" else CANDIDATES
    metric.update(kind, torch.from_numpy(embeddings[rows]), torch.from_numpy(rows))  # type: ignore[arg-type]


def values(metric: BenchmarkRetrieval) -> dict[str, float]:
    return {key: float(value) for key, value in metric.compute().items()}


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_evaluation_in_any_order_of_updates(seed: int) -> None:
    generator = np.random.default_rng(seed)
    metric = BenchmarkRetrieval(BENCHMARK, QUERIES.shape[1])
    for kind, count in (("passage", len(CANDIDATES)), ("query", len(QUERIES))):
        for part in np.array_split(generator.permutation(count), 4):
            add(metric, kind, part)
    assert values(metric) == pytest.approx(expected(), nan_ok=True)


def test_a_diverged_model_does_not_look_good() -> None:
    metric = BenchmarkRetrieval(BENCHMARK, QUERIES.shape[1])
    add(metric, "passage", np.arange(len(CANDIDATES)))
    broken = torch.from_numpy(QUERIES).clone()
    broken[0, 0] = torch.nan
    metric.update("query", broken, torch.arange(len(broken)))
    assert all(np.isnan(value) for value in values(metric).values())


def test_missing_texts_are_counted() -> None:
    metric = BenchmarkRetrieval(BENCHMARK, QUERIES.shape[1])
    add(metric, "query", np.arange(len(QUERIES) - 2))
    with pytest.raises(ValueError, match=f"2 of {len(QUERIES)} query embeddings"):
        metric.compute()


def _worker(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    dist.init_process_group("gloo", rank=rank, world_size=2)
    metric = BenchmarkRetrieval(BENCHMARK, QUERIES.shape[1])
    add(metric, "query", np.arange(len(QUERIES))[rank::2])
    if rank == 0:
        add(metric, "passage", np.arange(len(CANDIDATES)))
    torch.save(values(metric), Path(folder) / f"{rank}.pt")
    dist.destroy_process_group()


def test_two_processes_give_the_result_of_one(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    spawn(_worker, args=(port, str(tmp_path)), nprocs=2)  # type: ignore[no-untyped-call]
    for rank in range(2):
        found = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        assert found == pytest.approx(expected(), nan_ok=True)
