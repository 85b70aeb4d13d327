"""Counting and selecting among the scores of a block on the CPU, compiled by Numba and run in threads.

Nothing is sorted but the few candidates at the top: a rank is a count, and counting runs at the speed of the
cache, many times faster than any sort.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch

from hybrid_retrieval.compiled import compiled

_TIMES_TOP = 4  # how many values `_bound` chooses from, as a multiple of `top`
_HALVINGS = 24


def count_ahead(
    scores: np.ndarray,
    row: np.ndarray,
    column: np.ndarray,
    place: np.ndarray,
    edges: np.ndarray,
    *,
    threads: ThreadPoolExecutor,
) -> np.ndarray:
    """Count per language the candidates ahead of that in (row, column).

    Args:
        scores: float32 (rows, columns), C-contiguous, finite.
        row: int64 (pairs,), ascending.
        column: int64 (pairs,).
        place: int64 (columns,), all different: of two equal scores the smaller place is ahead.
        edges: int64 (languages + 1,), of the languages' columns.
        threads: to count in.

    Returns:
        int32 (pairs, languages).
    """
    first = np.searchsorted(row, np.arange(len(scores) + 1))
    ahead = np.empty((len(row), len(edges) - 1), dtype=np.int32)
    _in_shares(
        threads,
        len(scores),
        lambda start, stop: _count_rows(scores, start, stop, first, column, place, edges, ahead),
    )
    return ahead


def best_places(
    scores: np.ndarray, top: int, place: np.ndarray, *, threads: ThreadPoolExecutor
) -> np.ndarray:
    """The places of the best candidates of each row, best first, equal scores in the order of their places.

    Args:
        scores: float32 (rows, columns), C-contiguous, finite.
        top: how many; at least 1 and at most `columns`.
        place: int64 (columns,), all different and in [0, 2^32).
        threads: to select in.

    Returns:
        int64 (rows, top).
    """
    best = np.empty((len(scores), top), dtype=np.int64)
    _in_shares(threads, len(scores), lambda start, stop: _best_rows(scores, start, stop, top, place, best))
    return best


def _in_shares(threads: ThreadPoolExecutor, rows: int, work: Callable[[int, int], None]) -> None:
    """Call `work(start, stop)` on as many shares of the rows as PyTorch has threads."""
    edges = np.linspace(0, rows, min(rows, torch.get_num_threads()) + 1).astype(int).tolist()
    list(threads.map(work, edges[:-1], edges[1:]))


@compiled
def _count_above(scores: np.ndarray, threshold: np.float32) -> tuple[np.int32, np.int32]:
    """How many scores are greater than the threshold, and how many at least as great."""
    greater, least = np.int32(0), np.int32(0)
    for i in range(len(scores)):
        # Numba would widen the sums to 64 bits, and half as many fit a vector.
        greater = np.int32(greater + (scores[i] > threshold))
        least = np.int32(least + (scores[i] >= threshold))
    return greater, least


@compiled
def _count_rows(
    scores: np.ndarray,
    start: int,
    stop: int,
    first: np.ndarray,
    column: np.ndarray,
    place: np.ndarray,
    edges: np.ndarray,
    ahead: np.ndarray,
) -> None:
    for row in range(start, stop):
        for language in range(len(edges) - 1):
            left, right = edges[language], edges[language + 1]
            for pair in range(first[row], first[row + 1]):
                itself = column[pair]
                threshold = scores[row, itself]
                greater, least = _count_above(scores[row, left:right], threshold)
                if least - greater > (left <= itself < right):
                    for other in range(left, right):
                        if scores[row, other] == threshold and place[other] < place[itself]:
                            greater += 1
                ahead[pair, language] = greater


@compiled
def _bound(scores: np.ndarray, top: int) -> np.float32:
    """A number that at least `top` scores reach, and not many more where the columns are in no order."""
    width = min(len(scores), _TIMES_TOP * top)
    largest = scores[:width].copy()
    for start in range(width, len(scores) - width + 1, width):
        for i in range(width):
            largest[i] = max(largest[i], scores[start + i])
    # Each of these is the largest of its own scores: `top` of them reach what `top` scores reach.
    low, high = np.float32(largest.min()), np.float32(largest.max())
    for _ in range(_HALVINGS):
        middle = np.float32((low + high) / np.float32(2))
        if _count_above(largest, middle)[1] >= top:
            low = middle
        else:
            high = middle
    return low


@compiled
def _best_rows(
    scores: np.ndarray, start: int, stop: int, top: int, place: np.ndarray, best: np.ndarray
) -> None:
    columns = np.empty(scores.shape[1], dtype=np.int64)
    for row in range(start, stop):
        bound = _bound(scores[row], top)
        found = 0
        for column in range(scores.shape[1]):
            columns[found] = column
            found += scores[row, column] >= bound
        # One ascending number each: the score, descending, in the upper half, the place in the lower.
        keys = np.empty(found, dtype=np.int64)
        values = np.empty(found, dtype=np.float32)
        for i in range(found):
            values[i] = np.float32(0) - scores[row, columns[i]]  # 0 for -0, too
        bits = values.view(np.int32)
        for i in range(found):
            # The bits of floats ascend with positive ones and descend with negative ones.
            ascending = np.int64(bits[i] if bits[i] >= 0 else bits[i] ^ 0x7FFFFFFF)
            keys[i] = (ascending << 32) | place[columns[i]]
        keys.sort()
        for i in range(top):
            best[row, i] = keys[i] & 0xFFFFFFFF
