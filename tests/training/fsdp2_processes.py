"""Script: gradients and training with FSDP2 on two CPU processes, written to files.

python -m tests.training.fsdp2_processes <folder of dual_encoder_parts.prepare> <folder for the results>
"""

import os
import socket
import sys
from functools import partial
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch
import torch.distributed as dist
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor
from torch.multiprocessing.spawn import start_processes

from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.models.adapter import LoraSpec, add_lora
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.layers import recompute_layers
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.training.fsdp2 import FSDP2Strategy, FullyShardedDualEncoder
from tests.losses import dual_encoder_parts as parts
from tests.processes import BARE_TRAINER

RANKS = 2
STEPS = 4
BATCH = 5  # the step of the plan whose batch gives gradients
CASES: dict[str, dict[str, bool]] = {
    "plain": {},
    "grad_cache_and_recompute": {"grad_cache": True, "recompute": True},
    "lora": {"lora": True},
}


def dual_encoder(
    folder: Path,
    of: type[DualEncoder] = DualEncoder,
    *,
    grad_cache: bool = False,
    recompute: bool = False,
    lora: bool = False,
) -> DualEncoder:
    encoder = TextEncoder.from_folder(prepare_tiny(folder), name="tiny")
    if lora:
        add_lora(encoder, LoraSpec(r=4), source="tiny", seed=1)
        for name, parameter in encoder.named_parameters():
            if "lora_B" in name:
                torch.nn.init.constant_(parameter, 0.02)
    if recompute:
        recompute_layers(encoder.transformer)
    optimizer = partial(torch.optim.AdamW, lr=1e-3, fused=True)
    loss = Objective(InfoNCE(0.1, learn_temperature=True))
    return of(encoder, loss, optimizer, warmup=0.0, total_steps=10, grad_cache=grad_cache)


def gradients(
    folder: Path, of: type[DualEncoder] = DualEncoder, *, rank: int = 0, ranks: int = 1, **options: bool
) -> dict[str, Tensor]:
    """Loss, gradient and its norm of one batch, of which this process has a slice; whole tensors."""
    model = dual_encoder(folder, of, **options)
    if ranks > 1:
        model._device_mesh = init_device_mesh(
            "cpu", (ranks, 1), mesh_dim_names=("data_parallel", "tensor_parallel")
        )
        model.configure_model()
        assert all(isinstance(p, DTensor) for p in model.encoder.parameters())
    loss = model.training_step(parts.collator(folder)(parts.plan(folder)[BATCH].rank_slice(rank, ranks)), 0)
    loss.backward()  # type: ignore[no-untyped-call]
    model.on_after_backward()
    if ranks > 1:
        dist.all_reduce(loss := loss.detach())
    found = {"loss": loss.detach() / ranks, "norm": model.gradient_norm()}
    for name, parameter in model.named_parameters():
        if (gradient := parameter.grad) is not None:
            found[name] = gradient.full_tensor() if isinstance(gradient, DTensor) else gradient
    return found


def fit(
    folder: Path, out: Path, of: type[DualEncoder] = DualEncoder, *, steps: int = STEPS, **options: Any
) -> None:
    """Train with clipped gradients and validation; writes fit.pt and last.ckpt, from which it goes on."""
    pl.seed_everything(1, verbose=False)
    resume = out / "last.ckpt"
    trainer = pl.Trainer(
        **BARE_TRAINER,
        max_steps=steps,
        gradient_clip_val=0.1,
        val_check_interval=2,
        check_val_every_n_epoch=None,
        num_sanity_val_steps=0,
        **options,
    )
    model = dual_encoder(folder, of)
    checkpoint = str(resume) if resume.is_file() else None
    trainer.fit(model, datamodule=parts.data_module(folder), ckpt_path=checkpoint, weights_only=True)
    trainer.save_checkpoint(resume)
    weights = model.whole_state() if isinstance(model, FullyShardedDualEncoder) else model.state_dict()
    if trainer.is_global_zero:
        metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
        torch.save({"weights": weights, "metrics": metrics}, out / "fit.pt")


def _rank(rank: int, folder: Path, out: Path, port: int) -> None:
    torch.set_num_threads(1)
    # As Lightning finds them where something else has started the processes.
    os.environ |= {"LOCAL_RANK": str(rank), "NODE_RANK": "0", "WORLD_SIZE": str(RANKS)}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    for name, options in CASES.items():
        found = gradients(folder, FullyShardedDualEncoder, rank=rank, ranks=RANKS, **options)
        torch.save(found, out / f"{name}-{rank}.pt")
    for steps in (STEPS // 2, STEPS):
        # A new strategy each: it belongs to one trainer.
        strategy = FSDP2Strategy()
        fit(
            *(folder, out, FullyShardedDualEncoder),
            steps=steps,
            strategy=strategy,
            devices=RANKS,
            inference_mode=False,
        )
    dist.destroy_process_group()


if __name__ == "__main__":
    torch.set_num_threads(1)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        at = free.getsockname()[1]
    arguments = (Path(sys.argv[1]), Path(sys.argv[2]), at)
    start_processes(_rank, arguments, nprocs=RANKS, start_method="fork")  # type: ignore[no-untyped-call]
