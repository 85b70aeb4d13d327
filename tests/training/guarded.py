"""Training of the tiny backbone under `FiniteGuard`, with a step that goes wrong.

python -m tests.training.guarded <folder of dual_encoder_parts.prepare> <folder for the results>

runs two processes, of which only the second has a loss that is not a number, and writes what became of each.
"""

import os
import socket
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
from torch import Tensor
from torch.multiprocessing.spawn import start_processes

from hybrid_retrieval.data.collate import TrainBatch
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.training.assemble import Parts
from hybrid_retrieval.training.finite_guard import FiniteGuard, NotFiniteError
from tests.losses import dual_encoder_parts
from tests.processes import BARE_TRAINER

RANKS, STEPS, BAD = 2, 4, 2


class BadLoss(DualEncoder):
    """The loss of step BAD is not a number on one rank, without a trace in its gradient."""

    rank = 0

    def training_step(self, batch: TrainBatch, batch_idx: int) -> Tensor:
        loss = super().training_step(batch, batch_idx)
        bad = batch.step == BAD and self.trainer.global_rank == self.rank
        return loss + torch.tensor(torch.nan) if bad else loss


class BadGradient(pl.Callback):
    """One number of the gradient of a step is infinite."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.global_step == self.step:
            parameter = next(p for p in pl_module.parameters() if p.grad is not None)
            assert parameter.grad is not None
            parameter.grad.view(-1)[3] = torch.inf


class LastWeights(pl.Callback):
    """Remembers the weights at the end of every step."""

    def __init__(self) -> None:
        self.after: list[dict[str, Tensor]] = []

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        self.after.append({name: p.detach().clone() for name, p in pl_module.named_parameters()})


def parts_of(folder: Path, of: type[DualEncoder] = DualEncoder, *, fused: bool = False) -> Parts:
    encoder = TextEncoder.from_folder(prepare_tiny(folder), name="tiny")
    optimizer = partial(torch.optim.AdamW, lr=1e-3, fused=fused)
    loss = Objective(InfoNCE(0.1, learn_temperature=True))
    model = of(encoder, loss, optimizer, warmup=0.0, total_steps=10)
    data = dual_encoder_parts.data_module(folder)
    return Parts(data.plan, data.collator.corpora, data, model)


def train(
    parts: Parts,
    out: Path,
    callbacks: Sequence[pl.Callback] = (),
    *,
    deferred: bool | None = None,
    **options: Any,
) -> pl.Trainer:
    """Train STEPS steps with clipped gradients."""
    pl.seed_everything(1, verbose=False)
    trainer = pl.Trainer(
        **BARE_TRAINER,
        max_steps=options.pop("max_steps", STEPS),
        gradient_clip_val=1.0,
        limit_val_batches=0,
        callbacks=[FiniteGuard(parts, out, deferred=deferred), *callbacks],
        **options,
    )
    trainer.fit(parts.model, datamodule=parts.data)
    return trainer


def _rank(rank: int, folder: Path, out: Path, port: int) -> None:
    torch.set_num_threads(1)
    os.environ |= {"LOCAL_RANK": str(rank), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    parts = parts_of(folder, BadLoss)
    BadLoss.rank = 1
    try:
        train(parts, out, devices=RANKS, strategy="ddp")
    except NotFiniteError as error:
        weights = {name: p.detach() for name, p in parts.model.named_parameters()}
        torch.save({"message": str(error), "weights": weights}, out / f"stopped-{rank}.pt")


if __name__ == "__main__":
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        chosen = free.getsockname()[1]
    torch.set_num_threads(1)
    start_processes(  # type: ignore[no-untyped-call]
        _rank, (Path(sys.argv[1]), Path(sys.argv[2]), chosen), nprocs=RANKS, start_method="fork"
    )
