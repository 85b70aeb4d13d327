"""Which data set each step draws from, in proportion to size^tau, and how often it has been drawn before."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.sampling.counter_random import stream_key, uniforms

IntArray = npt.NDArray[np.int64]

_CHUNK = 1 << 16


class DatasetMixture:
    """Independent draws of a data set for each step, addressable in both directions.

    Args:
        sizes: number of triples of each data set.
        tau: exponent; 1 draws in proportion to size, 0 uniformly.
        seed: equal seeds give equal draws.
    """

    def __init__(self, sizes: Sequence[int], tau: float, seed: int) -> None:
        weights = np.asarray(sizes, dtype=np.float64) ** tau
        self.probabilities = weights / weights.sum()
        self._edges = np.cumsum(self.probabilities)[:-1]
        self._key = stream_key(seed, "dataset")
        # Draws of each data set before each chunk of steps; grows by one row per chunk.
        self._before = np.zeros((1, len(sizes)), dtype=np.int64)
        self._last: tuple[int, IntArray] | None = None

    def locate(self, step: int) -> tuple[int, int]:
        """The data set of `step`, and how many earlier steps drew the same one."""
        if len(self.probabilities) == 1:
            return 0, step
        chunk, offset = divmod(step, _CHUNK)
        self._extend(chunk)
        draws = self._draws(chunk)
        dataset = int(draws[offset])
        return dataset, int(self._before[chunk, dataset] + (draws[:offset] == dataset).sum())

    def step_of(self, dataset: int, occurrence: int) -> int:
        """The step at which `dataset` is drawn for the `occurrence`-th time, counted from 0."""
        if len(self.probabilities) == 1:
            return occurrence
        while self._before[-1, dataset] <= occurrence:
            self._extend(len(self._before))
        chunk = int(np.searchsorted(self._before[:, dataset], occurrence, side="right")) - 1
        hits = np.flatnonzero(self._draws(chunk) == dataset)
        return chunk * _CHUNK + int(hits[occurrence - self._before[chunk, dataset]])

    def _draws(self, chunk: int) -> IntArray:
        if self._last is None or self._last[0] != chunk:
            u = uniforms(self._key, np.arange(chunk * _CHUNK, (chunk + 1) * _CHUNK))
            self._last = chunk, np.searchsorted(self._edges, u, side="right").astype(np.int64)
        return self._last[1]

    def _extend(self, chunk: int) -> None:
        while len(self._before) <= chunk:
            counts = np.bincount(self._draws(len(self._before) - 1), minlength=len(self.probabilities))
            self._before = np.vstack([self._before, self._before[-1] + counts])
