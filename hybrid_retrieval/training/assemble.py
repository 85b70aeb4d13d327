"""From a configuration to the parts of a training run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.data.datamodule import HybridDataModule
from hybrid_retrieval.data.open import prepare_data
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.token_store import TokenizedTexts, TokenSource
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.models.adapter import LoraAdapter
from hybrid_retrieval.models.backbones import BackboneSpec, load_backbone
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.optim.trimmed_embedding import TrimmedHandle
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.training.capacity import adapted, dual_encoder_class, fused_adamw, ready_layers
from hybrid_retrieval.training.check_options import sampling_options
from hybrid_retrieval.training.loss_inputs import check_teacher_language, extra_texts, teacher_of
from hybrid_retrieval.training.token_reuse import token_store, trimmed_embeddings

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """Everything a run trains with."""

    plan: BatchPlan
    train: list[ParallelCorpus]
    data: HybridDataModule
    model: DualEncoder
    trimmed: TrimmedHandle | None = None
    adapter: LoraAdapter | None = None


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
    objective.pop("teacher")
    teacher_language = objective.pop("teacher_language")
    loss = Objective.from_config(objective)

    folders = prepare_data(cfg.data, cfg.paths.cache, benchmarks=cfg.paths.benchmarks)
    train = [ParallelCorpus.open(folder, "train") for folder in folders]
    plan = BatchPlan(
        train,
        strategy,
        training_languages(cfg.data.languages, train),
        cfg.global_batch_size,
        cfg.seed,
        **taus,
    )
    loss.check_languages(len(plan.languages))
    check_teacher_language(teacher_language, loss, plan.languages)
    encoder = load_backbone(spec)
    if (largest := max(loss.info_nce.dimensions, default=0)) > encoder.dimension:
        raise UserError(
            f"loss.dimensions: {largest} is more than the {encoder.dimension} dimensions of {spec.name}."
        )
    loss.prepare(
        dimension=encoder.dimension,
        languages=len(plan.languages),
        training_instances=plan.triples_per_epoch,
        seed=cfg.seed,
    )
    teacher = teacher_of(cfg, loss, encoder)
    adapter = adapted(cfg, encoder)
    optim = cfg.optim
    tokenizer = encoder.tokenizer.shortened(cfg.data.max_query_length, cfg.data.max_passage_length)
    store = token_store(cfg, train, plan.languages, tokenizer)
    trimmed = trimmed_embeddings(cfg, encoder, train, plan.languages, store)
    tokens: TokenSource = store or TokenizedTexts(tokenizer)
    ready_layers(cfg, encoder)
    model = dual_encoder_class(cfg)(
        encoder,
        loss,
        partial(
            torch.optim.AdamW,
            lr=optim.lr,
            betas=tuple(optim.betas),
            eps=optim.eps,
            fused=fused_adamw(cfg),
        ),
        weight_decay=optim.weight_decay,
        warmup=optim.warmup,
        decay=optim.decay,
        total_steps=cfg.trainer.max_steps,
        grad_cache=grad_cache,
        val_benchmark=val_benchmark,
        teacher=teacher,
        halve_chunk=cfg.halve_chunk,
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
        extra=extra_texts(cfg, loss, train, plan.languages, tokens=tokens, encoder=encoder, teacher=teacher),
        tokens=tokens,
    )
    return Parts(plan, train, data, model, trimmed, adapter)


def training_languages(asked: Sequence[str] | None, corpora: Sequence[ParallelCorpus]) -> list[str]:
    """The languages asked for, or all that the data sets have, sorted."""
    if asked is None:
        return sorted({language for corpus in corpora for language in corpus.languages})
    if not asked or len(set(asked)) != len(asked):
        raise UserError(f"data.languages={list(asked)} must name at least one language, and none twice.")
    return sorted(asked)
