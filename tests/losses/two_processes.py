"""Script: gradients and trained weights of a dual encoder on two processes, written to files.

python -m tests.losses.two_processes <folder of dual_encoder_parts.prepare> <folder for the results>
"""

import sys
from pathlib import Path

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import nn
from torch.multiprocessing.spawn import start_processes

from hybrid_retrieval.data.collate import TrainBatch
from hybrid_retrieval.models.dual_encoder import DualEncoder
from tests.losses import dual_encoder_parts as parts
from tests.processes import BARE_TRAINER

RANKS = 2


class StepLoss(nn.Module):
    """What DDP wraps: its forward is the training step."""

    def __init__(self, model: DualEncoder) -> None:
        super().__init__()
        self.model = model

    def forward(self, batch: TrainBatch) -> torch.Tensor:
        return self.model.training_step(batch, 0)


def step_gradients(
    folder: Path, *, local_loss: bool, terms: bool = False, rank: int = 0, of: int = 1
) -> dict[str, torch.Tensor]:
    """The gradients of the first steps on one of `of` slices, from the same weights; `STEP/PARAMETER`."""
    model = parts.dual_encoder(folder, local_loss=local_loss, terms=terms)
    step_loss = StepLoss(model)
    wrapped = nn.parallel.DistributedDataParallel(step_loss) if dist.is_initialized() else step_loss
    plan, collate = parts.plan(folder), parts.collator(folder, terms=terms)
    gradients = {}
    for step in range(parts.STEPS):
        wrapped.zero_grad()
        wrapped(collate(plan[step].rank_slice(rank, of))).backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None
            gradients[f"{step}/{name}"] = parameter.grad.clone()
    return gradients


def fit(folder: Path, out: Path, **options: object) -> None:
    """Train some steps with Lightning; weights and validation metrics go to a file."""
    pl.seed_everything(1, verbose=False)
    trainer = pl.Trainer(
        **BARE_TRAINER,
        max_steps=parts.STEPS,
        val_check_interval=parts.STEPS,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        callbacks=[_Save(out)],
        **options,  # type: ignore[arg-type]
    )
    trainer.fit(parts.dual_encoder(folder, local_loss=True), datamodule=parts.data_module(folder))


class _Save(pl.Callback):
    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            torch.save({"weights": pl_module.encoder.state_dict(), "metrics": metrics}, self.file)  # type: ignore[operator, union-attr]


def _rank(rank: int, folder: Path, out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out / 'rendezvous'}", rank=rank, world_size=RANKS)
    for local_loss in (True, False):
        gradients = step_gradients(folder, local_loss=local_loss, rank=rank, of=RANKS)
        torch.save(gradients, out / f"gradients-{local_loss}-{rank}.pt")
    gradients = step_gradients(folder, local_loss=True, terms=True, rank=rank, of=RANKS)
    torch.save(gradients, out / f"gradients-terms-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    source, results = Path(sys.argv[1]), Path(sys.argv[2])
    start_processes(_rank, (source, results), nprocs=RANKS, start_method="fork")  # type: ignore[no-untyped-call]
    fit(source, results / "fit.pt", devices=RANKS, strategy="ddp_fork")
