"""Script: gradients and trained weights with and without GradCache on two processes, written to files.

python -m tests.losses.grad_cache_processes <folder of dual_encoder_parts.prepare> <folder for the results>
"""

import sys
from functools import partial
from pathlib import Path

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.multiprocessing.spawn import start_processes

from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from tests.losses import dual_encoder_parts as parts
from tests.losses.two_processes import StepLoss
from tests.processes import BARE_TRAINER

RANKS = 2
DROPOUTS = (0.0, 0.1)


def dual_encoder(folder: Path, *, grad_cache: bool, dropout: float = 0.0) -> DualEncoder:
    encoder = TextEncoder.from_folder(prepare_tiny(folder), name="tiny", dropout=dropout)
    loss = Objective(InfoNCE(0.1, learn_temperature=True))
    optimizer = partial(torch.optim.AdamW, lr=1e-3)
    return DualEncoder(encoder, loss, optimizer, warmup=0.0, total_steps=10, grad_cache=grad_cache)


def gradients(
    folder: Path, *, grad_cache: bool, dropout: float, rank: int = 0, of: int = 1
) -> dict[str, Tensor]:
    """Of every parameter for one of `of` slices of the first batch; `loss` and, under DDP, `reductions`."""
    model = dual_encoder(folder, grad_cache=grad_cache, dropout=dropout)
    step_loss, reductions = StepLoss(model), torch.zeros(())

    def count_and_reduce(
        group: dist.ProcessGroup,
        bucket: dist.GradBucket,  # type: ignore[name-defined]
    ) -> torch.futures.Future[Tensor]:
        reductions.add_(1)
        return allreduce_hook(group, bucket)

    wrapped: nn.Module = step_loss
    if dist.is_initialized():
        wrapped = nn.parallel.DistributedDataParallel(step_loss)
        wrapped.register_comm_hook(dist.group.WORLD, count_and_reduce)
    torch.manual_seed(rank)
    loss = wrapped(parts.collator(folder)(parts.plan(folder)[0].rank_slice(rank, of)))
    loss.backward()
    found = {"loss": loss.detach(), "reductions": reductions}
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None
        found[name] = parameter.grad
    return found


def fit(folder: Path, out: Path, *, grad_cache: bool, **options: object) -> None:
    """Train some steps with Lightning and clipped gradients; the weights go to a file."""
    pl.seed_everything(1, verbose=False)
    trainer = pl.Trainer(
        **BARE_TRAINER,
        max_steps=parts.STEPS,
        gradient_clip_val=0.1,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        callbacks=[_Save(out)],
        **options,  # type: ignore[arg-type]
    )
    trainer.fit(dual_encoder(folder, grad_cache=grad_cache), datamodule=parts.data_module(folder))


class _Save(pl.Callback):
    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if trainer.is_global_zero:
            torch.save(dict(pl_module.named_parameters()), self.file)


def _rank(rank: int, folder: Path, out: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{out / 'rendezvous'}", rank=rank, world_size=RANKS)
    for dropout in DROPOUTS:
        for grad_cache in (False, True):
            found = gradients(folder, grad_cache=grad_cache, dropout=dropout, rank=rank, of=RANKS)
            torch.save(found, out / f"{dropout}-{grad_cache}-{rank}.pt")
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    source, results = Path(sys.argv[1]), Path(sys.argv[2])
    start_processes(_rank, (source, results), nprocs=RANKS, start_method="fork")  # type: ignore[no-untyped-call]
    fit(source, results / "fit.pt", grad_cache=True, devices=RANKS, strategy="ddp_fork")
