"""The LightningModule: a dual encoder with shared weights, its loss, its optimiser and its validation."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from hybrid_retrieval.data.collate import EncodedTexts, TrainBatch
from hybrid_retrieval.data.validation import ValidationBatch
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmark_metric import BenchmarkRetrieval
from hybrid_retrieval.evaluation.validation_metric import ParallelRetrieval
from hybrid_retrieval.losses.grad_cache import embed_chunks
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.teacher import Teacher
from hybrid_retrieval.losses.terms.registry import TEACHER, ExtraInputs
from hybrid_retrieval.losses.validation_loss import ValidationLoss
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.frozen import FrozenWeights
from hybrid_retrieval.models.out_of_memory import out_of_memory_explained, repeated_in_smaller_chunks
from hybrid_retrieval.models.token_batch import TokenBatch

_CHUNK_LIMIT = "chunk_limit"
OptimizerFactory = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


class DualEncoder(pl.LightningModule):
    """Embeds queries and passages with one tower and trains it with a contrastive loss.

    Args:
        encoder: the shared tower.
        loss: what is minimised over a global batch.
        optimizer: makes the optimiser from parameter groups.
        weight_decay: of weight matrices; biases, norms and the temperature have none.
        warmup: fraction of the steps over which the learning rate rises from 0.
        decay: "linear" falls to 0 at the last step, "constant" stays.
        total_steps: optimiser steps of the whole run.
        grad_cache: whether the backward pass encodes each chunk again instead of keeping its activations
            (`losses.grad_cache`): memory does not grow with the batch, for 1.3 to 1.4 times the time.
        val_benchmark: a benchmark that validation batches may hold the texts of.
        teacher: for a term of the loss that needs one; it is no part of the module.
        halve_chunk: whether a step of GradCache that runs out of memory is done again with smaller chunks
            (`models.out_of_memory`).

    Attributes:
        batch: that is trained on, or was last.
        chunk_limit: tokens of a chunk of two texts or more, where memory ran out; None: the batch says.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        loss: Objective,
        optimizer: OptimizerFactory,
        *,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        decay: str = "linear",
        total_steps: int,
        grad_cache: bool = False,
        val_benchmark: Benchmark | None = None,
        teacher: Teacher | None = None,
        halve_chunk: bool = True,
    ) -> None:
        super().__init__()
        self.encoder = encoder
        self.loss = loss
        self.make_optimizer = optimizer
        self.weight_decay = weight_decay
        self.warmup_steps = round(warmup * total_steps)
        self.decay = decay
        self.total_steps = total_steps
        self.grad_cache = grad_cache
        self.teacher = teacher
        self.halve_chunk = halve_chunk
        self.batch: TrainBatch | None = None
        self.chunk_limit: int | None = None
        self.retrieval = ParallelRetrieval()
        self.validation_loss = ValidationLoss(encoder.dimension)
        self.benchmark = BenchmarkRetrieval(val_benchmark, encoder.dimension) if val_benchmark else None
        self.encoder.train()
        self.frozen = FrozenWeights(self)
        self.strict_loading = not self.frozen.names

    def embed(self, texts: EncodedTexts, encoder: TextEncoder | None = None) -> Tensor:
        """Embeddings of tokenised texts, (texts, dimension) float32, L2-normalised.

        Args:
            texts: token sequences.
            encoder: None takes the encoder that is trained.
        """
        encoder = self.encoder if encoder is None else encoder
        chunks = self.chunks(texts, encoder)
        if self.grad_cache and torch.is_grad_enabled():
            embeddings = embed_chunks(encoder, chunks)
        else:
            embeddings = torch.cat([encoder(chunk) for chunk in chunks])
        return embeddings[texts.order]

    def chunks(self, texts: EncodedTexts, encoder: TextEncoder) -> list[TokenBatch]:
        """What goes through the encoder at one time; all their sequences, in order, are those of `texts`."""
        sequences = texts.sequences
        budget = min(texts.token_budget, self.chunk_limit or texts.token_budget)
        return [sequences[rows] for rows in encoder.batches(sequences.lengths, budget)]

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Loss of one global batch."""
        self.batch = batch
        queries, passages = self.embed(batch.queries), self.embed(batch.passages)
        loss: Tensor = self.loss(queries, passages, batch.ids, self._extra_inputs(batch))
        shares = {f"{name}_share": share for name, share in batch.translated.items()}
        logged: dict[str, Tensor | float] = {**self.loss.values, **shares}
        for name, value in logged.items():
            self.log(f"train/{name}", value, sync_dist=True, batch_size=len(batch.queries))
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch.queries))
        if self.loss.learn_temperature:
            self.log("train/temperature", self.loss.temperature.detach())
        return loss

    def _extra_inputs(self, batch: TrainBatch) -> ExtraInputs:
        """What the terms of the loss need beyond the pairs."""
        found = {name: self.embed(texts) for name, texts in batch.extra.items() if name not in TEACHER}
        if self.teacher is not None:
            encoder = self.teacher.on(batch.ids.query.device)
            same = {"teacher_queries": batch.queries, "teacher_passages": batch.passages}
            with torch.no_grad():
                found |= {name: self.embed(batch.extra.get(name, same[name]), encoder) for name in TEACHER}
        return ExtraInputs(batch.query_languages, batch.passage_languages, **found)

    def gradient_norm(self) -> Tensor:
        """The norm of the whole gradient, float32 (), the same on every rank; all must call it."""
        return nn.utils.get_total_norm([p.grad for p in self.parameters() if p.grad is not None])

    def validation_step(self, batch: ValidationBatch, batch_idx: int) -> None:
        """Collect embeddings; everything is computed when the epoch ends, over all ranks."""
        embeddings = self.embed(batch.texts)
        if batch.source == "benchmark" and self.benchmark is not None:
            self.benchmark.update(batch.kind, embeddings, batch.item_ids)
            return
        keys = batch.item_ids, batch.passage_ids, batch.languages
        self.retrieval.update(batch.kind, embeddings, *keys, query_ids=batch.query_ids)
        self.validation_loss.update(batch.kind, embeddings, *keys, query_ids=batch.query_ids)

    def on_validation_epoch_end(self) -> None:
        """Log validation loss and retrieval."""
        temperature = float(self.loss.temperature.detach())
        self.validation_loss.temperature = temperature
        values = {**self.validation_loss.compute(), **self.retrieval.compute()}
        found = {f"val/{name}": value for name, value in values.items()}
        if self.benchmark is not None:
            self.benchmark.temperature = temperature
            found |= {f"val_retrieval/{name}": value for name, value in self.benchmark.compute().items()}
        for name, value in found.items():
            if not torch.isnan(value):
                shown = name in ("val/loss", "val/map_multilingual", "val_retrieval/map_multilingual")
                self.log(name, value.to(self.device), prog_bar=shown)
        for metric in (self.validation_loss, self.retrieval, self.benchmark):
            if metric is not None:
                metric.reset()

    def configure_optimizers(self) -> Any:
        """Groups for matrices, other parameters and those of terms, with warm-up and decay per step."""
        heads = self.loss.head_groups()
        own = {id(p) for group in heads for p in group["params"]}
        trained = [p for p in self.parameters() if p.requires_grad and id(p) not in own]
        matrices = [p for p in trained if p.ndim >= 2]
        others = [p for p in trained if p.ndim < 2]
        optimizer = self.make_optimizer(
            [
                {"params": matrices, "weight_decay": self.weight_decay},
                {"params": others, "weight_decay": 0.0},
                *heads,
            ]
        )
        scheduler = LambdaLR(optimizer, self.learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def optimizer_step(
        self,
        epoch: int,
        batch_idx: int,
        optimizer: torch.optim.Optimizer | LightningOptimizer,
        optimizer_closure: Callable[[], Any] | None = None,
    ) -> None:
        """As Lightning; what runs out of memory is done again in smaller chunks, or explained."""
        assert optimizer_closure is not None
        with out_of_memory_explained("", self):
            repeated = repeated_in_smaller_chunks(self, optimizer_closure)
            super().optimizer_step(epoch, batch_idx, optimizer, repeated)

    def configure_gradient_clipping(
        self,
        optimizer: torch.optim.Optimizer,
        gradient_clip_val: float | None = None,
        gradient_clip_algorithm: str | None = None,
    ) -> None:
        """As Lightning, which with bf16-mixed refuses fused optimisers though there is nothing to unscale."""
        if getattr(self.trainer.precision_plugin, "scaler", None) is not None:
            self.clip_gradients(optimizer, gradient_clip_val, gradient_clip_algorithm)
        elif gradient_clip_val and gradient_clip_algorithm == "value":
            nn.utils.clip_grad_value_(self.parameters(), gradient_clip_val)
        elif gradient_clip_val:
            nn.utils.clip_grad_norm_(self.parameters(), gradient_clip_val)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep only what is trained."""
        self.frozen.drop(checkpoint)
        if self.chunk_limit is not None:
            checkpoint[_CHUNK_LIMIT] = self.chunk_limit

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Refuse a checkpoint of other frozen weights."""
        self.frozen.check(checkpoint)
        self.chunk_limit = checkpoint.get(_CHUNK_LIMIT)

    def learning_rate_factor(self, step: int) -> float:
        """Fraction of the peak learning rate used by optimiser step `step`, counted from 0."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.decay == "constant":
            return 1.0
        return max(0.0, (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps))
