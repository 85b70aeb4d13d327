"""What gradient descent does to embeddings, shared by the tests of the terms."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional


def unit(rows: int, dimension: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dimension, generator=generator), dim=1)


def at_degrees(*degrees: float) -> Tensor:
    """Unit vectors in the plane, (n, 2)."""
    angles = torch.tensor(degrees).deg2rad()
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def descend(loss: Callable[..., Tensor], *embeddings: Tensor, rate: float = 0.01) -> list[Tensor]:
    """The embeddings after one step of gradient descent on all of them, on the sphere again."""
    leaves = [e.clone().requires_grad_() for e in embeddings]
    torch.autograd.backward(loss(*leaves))
    moved = []
    for leaf in leaves:
        assert leaf.grad is not None
        moved.append(functional.normalize(leaf.detach() - rate * leaf.grad, dim=1))
    return moved
