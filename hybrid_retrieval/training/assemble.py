"""From a configuration to the parts of a training run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.data.datamodule import HybridDataModule
from hybrid_retrieval.data.open import prepare_data
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.models.backbones import BackboneSpec, load_backbone
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.optim.corpus_tokens import corpus_token_ids
from hybrid_retrieval.optim.trimmed_embedding import TrimmedHandle, trim_embeddings
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.training.check_options import sampling_options

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """Everything a run trains with."""

    plan: BatchPlan
    train: list[ParallelCorpus]
    data: HybridDataModule
    model: DualEncoder
    trimmed: TrimmedHandle | None = None


def assemble(cfg: DictConfig, val_benchmark: Benchmark | None = None) -> Parts:
    """Prepare the data, plan the batches and load the backbone, in this order: cheap mistakes show first.

    Args:
        cfg: `conf/train.yaml`, checked by `check_options`.
        val_benchmark: a benchmark to retrieve on at every validation.

    Raises:
        UserError: the configuration, the data or the backbone do not fit; the message names the fix.
    """
    strategy, taus = sampling_options(cfg)
    spec = BackboneSpec.from_mapping(OmegaConf.to_container(cfg.backbone))  # type: ignore[arg-type]
    objective: dict[str, Any] = OmegaConf.to_container(cfg.loss)  # type: ignore[assignment]
    grad_cache = objective.pop("grad_cache", False)
    loss = Objective.from_config(objective)
    loss.check_inputs(("query_languages", "passage_languages"))

    folders = prepare_data(cfg.data, cfg.paths.cache)
    train = [ParallelCorpus.open(folder, "train") for folder in folders]
    plan = BatchPlan(
        train,
        strategy,
        training_languages(cfg.data.languages, train),
        cfg.global_batch_size,
        cfg.seed,
        **taus,
    )
    loss.training_instances = plan.triples_per_epoch
    encoder = load_backbone(spec)
    if (largest := max(loss.info_nce.dimensions, default=0)) > encoder.dimension:
        raise UserError(
            f"loss.dimensions: {largest} is more than the {encoder.dimension} dimensions of {spec.name}."
        )
    optim = cfg.optim
    tokenizer = encoder.tokenizer.shortened(cfg.data.max_query_length, cfg.data.max_passage_length)
    trimmed = None
    if optim.trim_embeddings:
        token_ids = corpus_token_ids(
            train,
            plan.languages,
            tokenizer,
            hard_negatives=cfg.data.hard_negatives,
            cache=cache_folder(cfg.paths.cache),
        )
        trimmed = trim_embeddings(encoder, token_ids)
    model = DualEncoder(
        encoder,
        loss,
        partial(torch.optim.AdamW, lr=optim.lr, betas=tuple(optim.betas), eps=optim.eps, fused=optim.fused),
        weight_decay=optim.weight_decay,
        warmup=optim.warmup,
        decay=optim.decay,
        total_steps=cfg.trainer.max_steps,
        grad_cache=grad_cache,
        val_benchmark=val_benchmark,
    )
    data = HybridDataModule(
        plan,
        train,
        [ParallelCorpus.open(folder, "validation") for folder in folders],
        tokenizer,
        hard_negatives=cfg.data.hard_negatives,
        token_budget=cfg.data.token_budget,
        workers=cfg.data.workers,
        validation_limit=cfg.data.validation_limit,
        val_benchmark=(val_benchmark, encoder.tokenizer) if val_benchmark else None,
    )
    return Parts(plan, train, data, model, trimmed)


def training_languages(asked: Sequence[str] | None, corpora: Sequence[ParallelCorpus]) -> list[str]:
    """The languages asked for, or all that the data sets have, sorted."""
    if asked is None:
        return sorted({language for corpus in corpora for language in corpus.languages})
    if not asked or len(set(asked)) != len(asked):
        raise UserError(f"data.languages={list(asked)} must name at least one language, and none twice.")
    return sorted(asked)
