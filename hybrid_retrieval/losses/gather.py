"""Gather tensors over the processes of a distributed run, with or without gradient."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor


def world_size() -> int:
    """Number of processes; 1 outside a distributed run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def rank() -> int:
    """Rank of this process; 0 outside a distributed run."""
    return dist.get_rank() if dist.is_available() and dist.is_initialized() else 0


class _AllGather(torch.autograd.Function):
    """Concatenation over ranks whose backward sums the gradients that every rank has for the local part."""

    @staticmethod
    def forward(ctx: Any, local: Tensor) -> Tensor:
        ctx.rows = len(local)
        return _concatenate(local)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        # gloo has no reduce-scatter.
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total[rank() * ctx.rows : (rank() + 1) * ctx.rows]


def _concatenate(local: Tensor) -> Tensor:
    parts = [torch.empty_like(local) for _ in range(world_size())]
    dist.all_gather(parts, local.contiguous())
    return torch.cat(parts)


def gather(local: Tensor, *, with_grad: bool = False) -> Tensor:
    """Concatenate the tensors of all ranks, in the order of ranks.

    Args:
        local: (n, ...), of the same shape on every rank.
        with_grad: whether gradients flow back to the ranks the rows came from. Without, only the local rows
            carry a gradient (open_clip's `gather_with_grad` switch).

    Returns:
        (world * n, ...); `local` itself outside a distributed run.
    """
    if world_size() == 1:
        return local
    if with_grad:
        gathered: Tensor = _AllGather.apply(local)  # type: ignore[no-untyped-call]
        return gathered
    with torch.no_grad():
        parts = list(_concatenate(local).chunk(world_size()))
    parts[rank()] = local
    return torch.cat(parts)
