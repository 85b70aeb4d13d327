"""The LightningModule: a dual encoder with shared weights, its loss, its optimiser and its validation."""

from collections.abc import Callable
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LambdaLR

from hybrid_retrieval.data.collate import EncodedTexts, TrainBatch
from hybrid_retrieval.data.validation import ValidationBatch
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmark_metric import BenchmarkRetrieval
from hybrid_retrieval.evaluation.validation_metric import ParallelRetrieval
from hybrid_retrieval.losses.grad_cache import embed_chunks
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import ExtraInputs, Objective
from hybrid_retrieval.losses.validation_loss import ValidationLoss
from hybrid_retrieval.models.encoder import TextEncoder

OptimizerFactory = Callable[[list[dict[str, Any]]], torch.optim.Optimizer]


class DualEncoder(pl.LightningModule):
    """Embeds queries and passages with one tower and trains it with a contrastive loss.

    Args:
        encoder: the shared tower.
        loss: contrastive loss over a global batch.
        optimizer: makes the optimiser from parameter groups.
        weight_decay: of weight matrices; biases, norms and the temperature have none.
        warmup: fraction of the steps over which the learning rate rises from 0.
        decay: "linear" falls to 0 at the last step, "constant" stays.
        total_steps: optimiser steps of the whole run.
        grad_cache: whether the backward pass encodes each chunk again instead of keeping its activations
            (`losses.grad_cache`): memory does not grow with the batch, for 1.3 to 1.4 times the time.
        val_benchmark: a benchmark that validation batches may hold the texts of.
    """

    def __init__(
        self,
        encoder: TextEncoder,
        loss: InfoNCE | Objective,
        optimizer: OptimizerFactory,
        *,
        weight_decay: float = 0.01,
        warmup: float = 0.1,
        decay: str = "linear",
        total_steps: int,
        grad_cache: bool = False,
        val_benchmark: Benchmark | None = None,
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
        self.retrieval = ParallelRetrieval()
        self.validation_loss = ValidationLoss(encoder.dimension)
        self.benchmark = BenchmarkRetrieval(val_benchmark, encoder.dimension) if val_benchmark else None
        self.encoder.train()

    def embed(self, texts: EncodedTexts) -> Tensor:
        """Embeddings of tokenised texts, (texts, dimension) float32, L2-normalised."""
        if self.grad_cache:
            return embed_chunks(self.encoder, texts.chunks)[texts.order]
        chunks = [self.encoder(input_ids, mask) for input_ids, mask in texts.chunks]
        embeddings: Tensor = torch.cat(chunks)[texts.order]
        return embeddings

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        """Loss of one global batch."""
        inputs = (
            self.embed(batch.queries),
            self.embed(batch.passages),
            batch.positive_ids,
            batch.passage_ids,
        )
        if isinstance(self.loss, Objective):
            loss: Tensor = self.loss(*inputs, ExtraInputs(batch.query_languages, batch.passage_languages))
            for name, value in self.loss.values.items():
                self.log(f"train/{name}", value, sync_dist=True, batch_size=len(batch.queries))
        else:
            loss = self.loss(*inputs)
        self.log("train/loss", loss, prog_bar=True, sync_dist=True, batch_size=len(batch.queries))
        kind = "monolingual" if batch.monolingual else "cross_lingual"
        self.log(f"train/loss_{kind}", loss.detach(), sync_dist=True, batch_size=len(batch.queries))
        if self.loss.learn_temperature:
            self.log("train/temperature", self.loss.temperature.detach())
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Log the norm of the gradient before clipping."""
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        self.log("train/gradient_norm", nn.utils.get_total_norm(gradients))

    def validation_step(self, batch: ValidationBatch, batch_idx: int) -> None:
        """Collect embeddings; everything is computed when the epoch ends, over all ranks."""
        embeddings = self.encoder(batch.input_ids, batch.attention_mask)
        if batch.source == "benchmark" and self.benchmark is not None:
            self.benchmark.update(batch.kind, embeddings, batch.item_ids)
            return
        for metric in (self.retrieval, self.validation_loss):
            metric.update(batch.kind, embeddings, batch.item_ids, batch.passage_ids, batch.languages)

    def on_validation_epoch_end(self) -> None:
        """Log validation loss and retrieval."""
        self.validation_loss.temperature = float(self.loss.temperature.detach())
        values = {**self.validation_loss.compute(), **self.retrieval.compute()}
        found = {f"val/{name}": value for name, value in values.items()}
        if self.benchmark is not None:
            found |= {f"val_retrieval/{name}": value for name, value in self.benchmark.compute().items()}
        for name, value in found.items():
            if not torch.isnan(value):
                shown = name in ("val/loss", "val/map_multilingual", "val_retrieval/map_multilingual")
                self.log(name, value.to(self.device), prog_bar=shown)
        for metric in (self.validation_loss, self.retrieval, self.benchmark):
            if metric is not None:
                metric.reset()

    def configure_optimizers(self) -> Any:
        """AdamW over two parameter groups, with warm-up and decay per step."""
        matrices = [p for p in self.parameters() if p.requires_grad and p.ndim >= 2]
        others = [p for p in self.parameters() if p.requires_grad and p.ndim < 2]
        optimizer = self.make_optimizer(
            [
                {"params": matrices, "weight_decay": self.weight_decay},
                {"params": others, "weight_decay": 0.0},
            ]
        )
        scheduler = LambdaLR(optimizer, self.learning_rate_factor)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}

    def learning_rate_factor(self, step: int) -> float:
        """Fraction of the peak learning rate used by optimiser step `step`, counted from 0."""
        if step < self.warmup_steps:
            return (step + 1) / self.warmup_steps
        if self.decay == "constant":
            return 1.0
        return max(0.0, (self.total_steps - step) / max(1, self.total_steps - self.warmup_steps))
