"""One training run: assemble, fit, save, evaluate, sum up."""

import gc
import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.registry import benchmark_options, load_pool_benchmark
from hybrid_retrieval.evaluation.embedder import EncoderEmbedder
from hybrid_retrieval.evaluation.evaluate import embed, evaluate_embeddings
from hybrid_retrieval.launch import Launch
from hybrid_retrieval.models.out_of_memory import out_of_memory_explained
from hybrid_retrieval.models.training_record import write_record
from hybrid_retrieval.security.checkpoints import read_tensors
from hybrid_retrieval.storage_errors import storage_errors_explained
from hybrid_retrieval.training.assemble import Parts, assemble
from hybrid_retrieval.training.before import before
from hybrid_retrieval.training.capacity import load_final_weights
from hybrid_retrieval.training.check_options import check_options
from hybrid_retrieval.training.checkpoint_file import checkpoint_to_resume, damage_of
from hybrid_retrieval.training.determinism import nondeterminism_explained
from hybrid_retrieval.training.energy import energy_of_run, gpu_joules
from hybrid_retrieval.training.evaluation_log import log_evaluation
from hybrid_retrieval.training.finite_guard import NotFiniteError
from hybrid_retrieval.training.hardware import peak_memory
from hybrid_retrieval.training.loggers import finish_loggers, sync_command
from hybrid_retrieval.training.lost_process import lost_processes_explained
from hybrid_retrieval.training.memory_of_run import check_run_memory, sampled_batches
from hybrid_retrieval.training.summary import summary, unfinished
from hybrid_retrieval.training.throughput import Throughput
from hybrid_retrieval.training.token_reuse import check_resumed
from hybrid_retrieval.training.trainer import make_trainer

logger = logging.getLogger(__name__)


def train(cfg: DictConfig, run_folder: Path) -> tuple[Path | None, Path | None]:
    """Train as configured.

    Args:
        cfg: `conf/train.yaml`.
        run_folder: gets checkpoints/ model/ metrics.json per_query.parquet train_metrics.csv summary.md.

    Returns:
        The model's folder, and the path of metrics.json (None without evaluation); both None on ranks other
        than 0.

    Raises:
        UserError: the configuration, the data or the machine do not fit.
        RunFailedError: the loss or its gradient became infinite or not a number, memory ran out, or a
            process was lost.
        StorageError: something could not be written.
    """
    check_options(cfg)
    gc.collect()  # the model of the run before in a sweep: trainer and model hold each other
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    # A wrong benchmark path should show before the training, not after it.
    benchmark = load_pool_benchmark(cfg.benchmark, cfg.paths, "benchmark") if cfg.evaluate else None
    parts = assemble(cfg, _val_benchmark(cfg))
    has_validation = bool(parts.data.validation or parts.data.val_benchmark)
    trainer = make_trainer(cfg, run_folder, parts, has_validation=has_validation)
    parts.data.check_world_size(trainer.world_size)
    plan, checkpoint = _look_ahead_on_all_ranks(cfg, parts, trainer, run_folder)
    with (
        lost_processes_explained(trainer),
        storage_errors_explained(run_folder, cfg.paths.cache),
        out_of_memory_explained("outside of a training step: lower data.token_budget or global_batch_size"),
        nondeterminism_explained(),
    ):
        return _train(cfg, run_folder, parts, trainer, benchmark=benchmark, plan=plan, checkpoint=checkpoint)


def _train(
    cfg: DictConfig,
    run_folder: Path,
    parts: Parts,
    trainer: pl.Trainer,
    *,
    benchmark: Benchmark | None,
    plan: str,
    checkpoint: Path | None,
) -> tuple[Path | None, Path | None]:
    """Fit, save, evaluate, sum up: what all ranks do together."""
    started, joules = time.perf_counter(), gpu_joules(trainer.strategy.root_device)
    try:
        trainer.fit(
            parts.model,
            datamodule=parts.data,
            ckpt_path=checkpoint,
            weights_only=True,
        )
    except NotFiniteError as error:
        if trainer.is_global_zero:
            raise
        raise SystemExit(1) from error  # told once
    energy = energy_of_run(trainer, joules, gpu_joules(trainer.strategy.root_device))
    peak = peak_memory(str(trainer.strategy.root_device))
    adapter = load_final_weights(cfg, parts.model, parts.adapter, _best_weights(run_folder, cfg))
    if parts.trimmed is not None:
        parts.trimmed.restore()
    if adapter is not None:
        if trainer.is_global_zero:
            adapter.save(run_folder / "adapter")
        adapter.merge()
    run = describe_run(cfg, parts, trainer.global_step, time.perf_counter() - started) | energy
    model_folder, metrics = run_folder / "model", None
    if trainer.is_global_zero:
        save_model(parts, run_folder, run)
    embeddings = (
        _embed_on_all_ranks(trainer, parts, benchmark, cfg.evaluate_precision)
        if benchmark is not None
        else None
    )
    if trainer.is_global_zero:
        found = None
        if benchmark is not None and embeddings is not None:
            queries, candidates, seconds = embeddings
            results = evaluate_embeddings(
                queries, candidates, benchmark, model="model", run=run, encode_seconds=seconds
            )
            results.metrics["benchmark_options"] = benchmark_options(cfg.benchmark)
            metrics, found = results.write(run_folder), results.metrics
            log_evaluation(trainer, run_folder, found)
        speed = next(c for c in trainer.callbacks if isinstance(c, Throughput)).medians()  # type: ignore[attr-defined]
        text = summary(
            cfg, run, found, plan=plan, speed=speed, peak_memory=peak, sync_command=sync_command(trainer)
        )
        with atomic_file(run_folder / "summary.md") as new:
            new.write_text(text, encoding="utf-8")
    finish_loggers(trainer)
    return (model_folder if trainer.is_global_zero else None), metrics


def _look_ahead_on_all_ranks(
    cfg: DictConfig, parts: Parts, trainer: pl.Trainer, run_folder: Path
) -> tuple[str, Path | None]:
    """Look ahead on rank 0; where it refuses, all ranks do, which would wait for it otherwise.

    Returns:
        What will happen, "" on other ranks; and the checkpoint to go on from, the same on all.
    """
    plan, checkpoint, refusal = "", None, None
    # Lightning starts processes of its own later, when rank 0 has passed; they look themselves.
    agree = trainer.world_size > 1 and Launch.read(os.environ) is not None
    if trainer.is_global_zero or not agree:
        try:
            checkpoint = _to_resume(cfg, parts, run_folder)
            plan = _look_ahead(cfg, parts, trainer, run_folder) if trainer.is_global_zero else ""
        except UserError as error:
            refusal = str(error)
    if agree:
        trainer.strategy.connect(parts.model)  # fsdp2 gives it the mesh of devices
        trainer.strategy.setup_environment()
        refusal, checkpoint = trainer.strategy.broadcast((refusal, checkpoint))
    if refusal is not None:
        raise UserError(refusal)
    return plan, checkpoint


def _to_resume(cfg: DictConfig, parts: Parts, run_folder: Path) -> Path | None:
    """The checkpoint to go on from; None starts at step 0."""
    folder = run_folder / "checkpoints"
    folder.mkdir(exist_ok=True)
    checkpoint = checkpoint_to_resume(folder) if cfg.resume else None
    if checkpoint is not None:
        check_resumed(checkpoint, parts.trimmed)
    elif cfg.resume is True:
        logger.warning("resume=true, but there is no checkpoint in %s: starting at step 0", folder)
    return checkpoint


def _look_ahead(cfg: DictConfig, parts: Parts, trainer: pl.Trainer, run_folder: Path) -> str:
    """Check that there is memory enough, and say what will happen."""
    batches = sampled_batches(parts, trainer)
    memory = check_run_memory(cfg, parts, trainer, batches)
    plan = before(cfg, parts, trainer, batches, memory)
    logger.info("before the first step:\n%s", plan)
    with atomic_file(run_folder / "summary.md") as new:
        new.write_text(unfinished(plan), encoding="utf-8")
    return plan


def _val_benchmark(cfg: DictConfig) -> Benchmark | None:
    """The part of `val_retrieval` that every validation retrieves on."""
    if cfg.get("val_retrieval") is None:
        return None
    benchmark = load_pool_benchmark(cfg.val_retrieval, cfg.paths, "benchmark@val_retrieval")
    return benchmark if cfg.val_questions is None else benchmark.sample(cfg.val_questions)


def _embed_on_all_ranks(
    trainer: pl.Trainer, parts: Parts, benchmark: Benchmark, precision: str
) -> tuple[np.ndarray, np.ndarray, float]:
    """The benchmark's embeddings, of which every rank encodes a share."""
    parts.model.to(trainer.strategy.root_device)
    embedder = EncoderEmbedder(
        parts.model.encoder.eval(),
        name="model",
        precision=precision,
        distributed=dist.is_available() and dist.is_initialized(),
    )
    return embed(embedder, benchmark, progress=trainer.is_global_zero)


def describe_run(cfg: DictConfig, parts: Parts, steps: int, seconds: float) -> dict[str, Any]:
    """What a reader of metrics.json has to know of the training."""
    alpha = cfg.sampler.get("alpha")
    if isinstance(alpha, DictConfig):
        # As it is written on the command line.
        alpha = json.dumps(OmegaConf.to_container(alpha)).replace('"', "")
    return {
        "strategy": cfg.sampler.name,
        "alpha": alpha,
        "seed": cfg.seed,
        "backbone": cfg.backbone.name,
        "data": [corpus.name for corpus in parts.train],
        "data_fingerprints": [corpus.fingerprint for corpus in parts.train],
        "languages": list(parts.plan.languages),
        "steps": steps,
        "global_batch_size": cfg.global_batch_size,
        "train_seconds": round(seconds, 1),
        **({} if parts.adapter is None else {"adapter": OmegaConf.to_container(cfg.adapter)}),
    }


def save_model(parts: Parts, run_folder: Path, run: dict[str, Any]) -> None:
    """Write model/ in sentence-transformers' layout, with what trained it."""
    folder = run_folder / "model"
    parts.model.encoder.eval()
    parts.model.encoder.save(folder)
    write_record(folder, run)


def _best_weights(run_folder: Path, cfg: DictConfig) -> dict[str, torch.Tensor] | None:
    best = run_folder / "checkpoints" / "best.ckpt"
    if cfg.trainer.monitor is None:
        return None
    if not best.is_file():
        raise UserError(
            f"{best} was never written: no validation ran before the training ended. "
            "Lower trainer.val_check_interval, or set trainer.monitor=null."
        )
    if damage := damage_of(best):
        raise UserError(
            f"{best} {damage}: put back a copy of it, or, with resume=true and trainer.monitor=null, save "
            "the weights of the last step."
        )
    state: dict[str, torch.Tensor] = read_tensors(best, "Train again in another folder.")["state_dict"]
    return state
