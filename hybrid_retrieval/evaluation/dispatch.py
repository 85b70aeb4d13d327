"""Evaluate a model on a benchmark of any kind, and write what was found."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig

from hybrid_retrieval.data.open import open_data
from hybrid_retrieval.data.setting_names import settings_called
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.registry import AnyBenchmark, benchmark_options
from hybrid_retrieval.evaluation.bitext import Bitext, evaluate_bitext
from hybrid_retrieval.evaluation.corpus.benchmark import CorpusBenchmark
from hybrid_retrieval.evaluation.corpus.encode import encode_corpus
from hybrid_retrieval.evaluation.corpus.evaluate import evaluate_corpus
from hybrid_retrieval.evaluation.distributed import rank, world_size
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.evaluate import embed, evaluate_embeddings
from hybrid_retrieval.evaluation.results import Results
from hybrid_retrieval.evaluation.trec import write_trec
from hybrid_retrieval.index.estimate_language_shift import estimate_language_shift
from hybrid_retrieval.index.factory import open_index

TREC_FOLDER = "trec"
_COMPARED = ("monolingual", "cross_lingual", "multilingual", "language_bias")


@dataclass(frozen=True)
class Job:
    """One evaluation.

    Attributes:
        embedder: the model; under several processes it shares the texts out among them.
        benchmark: what to evaluate on.
        settings: `conf/benchmark/` of it.
        cfg: `conf/evaluate.yaml`.
        folder: gets metrics.json and per_query.parquet, and trec/ if it is asked for.
        cache: folder where the embeddings of corpora are kept, unless `settings.shards` names another.
        run: what the training run was; None for a model that was not trained here.
    """

    embedder: Embedder
    benchmark: AnyBenchmark
    settings: DictConfig
    cfg: DictConfig
    folder: Path
    cache: Path
    run: Mapping[str, Any] | None


def carry_out(job: Job) -> tuple[Path, Results] | None:
    """Evaluate and write; every process calls it.

    Returns:
        The path of metrics.json and what it holds; None on ranks other than 0, which only encode.

    Raises:
        UserError: a setting that the benchmark does not have, or as the evaluations say.
    """
    _check(job)
    if isinstance(job.benchmark, Benchmark):
        results = _pool(job, job.benchmark)
    elif isinstance(job.benchmark, Bitext):
        results = evaluate_bitext(job.embedder, job.benchmark, run=job.run)
    else:
        results = _corpus(job, job.benchmark)
    if results is None or rank():
        return None
    results.metrics["benchmark_options"] = benchmark_options(job.settings)
    return results.write(job.folder), results


def _check(job: Job) -> None:
    name = job.benchmark.name
    if job.cfg.index.name != "exact" and not isinstance(job.benchmark, CorpusBenchmark):
        raise UserError(
            f"index={job.cfg.index.name}: {name} ranks every candidate exactly and needs no index. Leave "
            "index out; it is for miracl and mewsli_x."
        )
    if job.cfg.language_shift.data is not None and not isinstance(job.benchmark, Benchmark):
        raise UserError(
            f"language_shift: {name} is not ranked in a pool of several languages that is held in memory. "
            "Use xquad_r, mlqa_r, beir or world_facts, or language_shift=none."
        )
    if job.cfg.trec.write and isinstance(job.benchmark, Bitext):
        raise UserError(f"trec.write=true: {name} has no ranking beyond the nearest sentence. Leave it out.")


def _pool(job: Job, benchmark: Benchmark) -> Results | None:
    corpora = None
    if (of := job.cfg.language_shift).data is not None:
        with settings_called("language_shift.data", reader="data@language_shift.data"):
            corpora = open_data(of.data, job.cfg.paths.cache, of.split, benchmarks=job.cfg.paths.benchmarks)
    queries, candidates, seconds = embed(job.embedder, benchmark)
    shift = None
    if corpora is not None:
        shift = estimate_language_shift(
            corpora,
            job.embedder,
            pivot=of.pivot,
            pairs=of.pairs,
            languages=benchmark.languages if of.data.languages is None else list(of.data.languages),
            seed=of.seed,
            renormalise=of.renormalise,
        )
    if rank():
        return None
    block_bytes = int(job.cfg.block_mb * 2**20) if job.cfg.block_mb else None

    def scored(of_candidates: np.ndarray) -> Results:
        return evaluate_embeddings(
            queries,
            of_candidates,
            benchmark,
            model=job.embedder.name,
            run=job.run,
            encode_seconds=seconds,
            block_bytes=block_bytes,
        )

    results = scored(candidates)
    if shift is not None:
        without = {key: results.metrics[key] for key in _COMPARED}
        candidates = shift.apply(candidates, np.array(benchmark.languages)[benchmark.candidate_language])
        results = scored(candidates)
        results.metrics["language_shift"] = {**shift.about(), "without": without}
    if job.cfg.trec.write:
        folder, depth = job.folder / TREC_FOLDER, job.cfg.trec.depth
        write_trec(folder, queries, candidates, benchmark, depth=depth, block_bytes=block_bytes)
    return results


def _corpus(job: Job, benchmark: CorpusBenchmark) -> Results | None:
    settings, index = job.settings, job.cfg.index
    embedder, fingerprint = job.embedder.alone()
    shards = Path(settings.shards) if settings.shards else job.cache / fingerprint / benchmark.name
    options: dict[str, Any] = {
        "fingerprint": fingerprint,
        "shard_rows": settings.shard_rows,
        "dtype": settings.dtype,
    }
    if rank():
        encode_corpus(embedder, benchmark, shards, rank=rank(), world=world_size(), **options)
        return None
    return evaluate_corpus(
        embedder,
        benchmark,
        folder=shards,
        index=index.name,
        searcher=lambda vectors: open_index(index, vectors),
        recall_queries=index.get("recall_queries") or 0,
        depth=settings.depth,
        run=job.run,
        world=world_size(),
        trec=job.folder / TREC_FOLDER if job.cfg.trec.write else None,
        **options,
    )
