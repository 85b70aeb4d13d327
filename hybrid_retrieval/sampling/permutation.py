"""A random permutation of range(n) that is computed where it is asked for, never held in memory."""

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.sampling.counter_random import hash64, stream_key

IntArray = npt.NDArray[np.int64]

_ROUNDS = 8


class Permutation:
    """Pseudo-random bijection of range(n): a balanced Feistel network with cycle walking.

    The domain is the smallest even power of two that holds n; values that fall outside range(n) are
    encrypted again until they fall inside (Black and Rogaway, "Ciphers with arbitrary finite domains",
    CT-RSA 2002). The domain is less than 4n, so fewer than four passes are expected.

    Args:
        n: number of elements, at least 1.
        seed: equal seeds give equal permutations.
        names: what the permutation is for (data set, epoch); different names, independent permutations.
    """

    def __init__(self, n: int, seed: int, *names: str | int) -> None:
        if n < 1:
            raise ValueError(f"a permutation needs at least one element, not {n}")
        self.n = n
        self._half_bits = np.uint64(max(1, (max(1, (n - 1).bit_length()) + 1) // 2))
        self._half_mask = (np.uint64(1) << self._half_bits) - np.uint64(1)
        self._keys = [stream_key(seed, "permutation", *names, r) for r in range(_ROUNDS)]

    def __len__(self) -> int:
        return self.n

    def __call__(self, positions: npt.ArrayLike) -> IntArray:
        """Elements at `positions`.

        Args:
            positions: integers in [0, n), any shape.

        Returns:
            int64 array of the same shape.
        """
        x = np.array(positions, dtype=np.int64)
        if x.size and (x.min() < 0 or x.max() >= self.n):
            raise IndexError(f"positions must lie in [0, {self.n})")
        values = self._encrypt(x.astype(np.uint64).reshape(-1))
        outside = values >= self.n
        while outside.any():
            values[outside] = self._encrypt(values[outside])
            outside = values >= self.n
        return values.astype(np.int64).reshape(x.shape)

    def _encrypt(self, x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
        left, right = x >> self._half_bits, x & self._half_mask
        for key in self._keys:
            left, right = right, left ^ (hash64(key, right) & self._half_mask)
        return (left << self._half_bits) | right
