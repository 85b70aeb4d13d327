"""Batches of token sequences with little padding: sort by length, cut by a budget of tokens."""

from collections.abc import Sequence

import numpy as np
import torch


def length_buckets(lengths: Sequence[int], token_budget: int) -> list[np.ndarray]:
    """Partition positions into buckets of similar length.

    Args:
        lengths: number of tokens of each sequence.
        token_budget: no bucket of two or more sequences, padded to its longest, exceeds this many tokens.

    Returns:
        int64 arrays of positions into `lengths`, longest sequences first (so that running out of memory
        happens at once, not at the end); together they hold every position once.
    """
    if token_budget < 1:
        raise ValueError(f"token_budget must be positive, not {token_budget}")
    sizes = np.asarray(lengths, dtype=np.int64)
    order = np.argsort(-sizes, kind="stable")
    buckets, start = [], 0
    while start < len(order):
        count = max(1, token_budget // max(1, int(sizes[order[start]])))
        buckets.append(order[start : start + count])
        start += count
    return buckets


def pad(sequences: Sequence[Sequence[int]], pad_id: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pad on the right to the longest sequence.

    Returns:
        input_ids int64 (n, longest) and attention_mask int64 (n, longest).
    """
    longest = max(len(s) for s in sequences)
    input_ids = torch.full((len(sequences), longest), pad_id, dtype=torch.int64)
    mask = torch.zeros((len(sequences), longest), dtype=torch.int64)
    for i, sequence in enumerate(sequences):
        input_ids[i, : len(sequence)] = torch.tensor(sequence, dtype=torch.int64)
        mask[i, : len(sequence)] = 1
    return input_ids, mask
