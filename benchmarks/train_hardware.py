"""What the machine can do, and what training asks of it: operations, the peak of a product, memory."""

import re
import resource
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

_PEAK_SIDE, _PEAK_REPEATS = 3072, 3


def matrix_peak() -> float:
    """Operations a second of the best of a few products of two float32 matrices of 3072 x 3072."""
    a, b = torch.rand(2, _PEAK_SIDE, _PEAK_SIDE)
    out = torch.empty(_PEAK_SIDE, _PEAK_SIDE)
    best = float("inf")
    for _ in range(_PEAK_REPEATS):
        start = time.perf_counter()
        torch.mm(a, b, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * float(_PEAK_SIDE) ** 3 / best


def training_operations(transformer: nn.Module, config: Any, lengths: Iterable[int]) -> float:
    """Multiplications and additions of forward and backward on texts without padding.

    A token costs 2 P forward and 4 P backward, P being the parameters outside the embedding tables;
    attention of a text of t tokens 4 L h t^2 forward in L layers of width h (scores, and the weighted sum),
    and twice that backward. No operation done again, and none on padding, is counted.

    Args:
        transformer: the encoder.
        config: its configuration, with `num_hidden_layers` and `hidden_size`.
        lengths: tokens of each text.
    """
    tables = sum(
        p.numel() for m in transformer.modules() if isinstance(m, nn.Embedding) for p in m.parameters()
    )
    parameters = sum(p.numel() for p in transformer.parameters()) - tables
    per_square = 4 * config.num_hidden_layers * config.hidden_size
    return float(sum(3 * (2 * parameters * t + per_square * t * t) for t in lengths))


def peak_memory() -> int:
    """Bytes of the greatest resident size of this process so far (VmHWM)."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024


def available_memory() -> int:
    """Bytes that can be taken without swapping."""
    found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text(encoding="ascii"))
    assert found is not None
    return int(found[1]) * 1024


def limit_memory(limit: int) -> None:
    """Make allocations fail that would take this process's own memory beyond `limit` bytes."""
    resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
