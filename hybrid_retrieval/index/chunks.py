"""Embeddings a chunk at a time: checked, sampled, fingerprinted."""

import hashlib
from collections.abc import Iterator

import numpy as np

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index.base import Vectors

CHUNK_ROWS = 65_536


class ArrayVectors:
    """Embeddings in memory, or mapped from a file; satisfies `hybrid_retrieval.index.base.Vectors`.

    Args:
        embeddings: float (embeddings, dimension).
    """

    def __init__(self, embeddings: np.ndarray) -> None:
        self.embeddings = embeddings

    @property
    def dimension(self) -> int:
        """Of each embedding."""
        return int(self.embeddings.shape[1])

    def __len__(self) -> int:
        return len(self.embeddings)

    def chunks(self, rows: int) -> Iterator[np.ndarray]:
        """All embeddings in order, float32 (at most `rows`, dimension) at one time."""
        for start in range(0, len(self), rows):
            yield np.ascontiguousarray(self.embeddings[start : start + rows], dtype=np.float32)


def checked_chunks(vectors: Vectors, rows: int | None = None) -> Iterator[np.ndarray]:
    """The chunks of `vectors`, contiguous float32 (at most `rows`, dimension); None is 65,536.

    Raises:
        UserError: an embedding is NaN or infinite, or their number is not `len(vectors)`.
    """
    start = 0
    for chunk in vectors.chunks(rows or CHUNK_ROWS):
        check_finite(chunk, "embeddings of the corpus", start)
        start += len(chunk)
        yield np.ascontiguousarray(chunk, dtype=np.float32)
    if start != len(vectors):
        raise UserError(
            f"The corpus should have {len(vectors):,} embeddings and gave {start:,}: encode it again."
        )


def check_finite(embeddings: np.ndarray, what: str, start: int = 0) -> None:
    """Refuse NaN and infinity.

    Args:
        embeddings: float (some, dimension).
        what: what they are, for the message.
        start: position of the first.

    Raises:
        UserError: it says how many are not finite, and the position of the first.
    """
    finite = np.isfinite(embeddings).all(axis=1)
    if not finite.all():
        raise UserError(
            f"{int((~finite).sum())} of the {what} hold NaN or infinity, the first at position "
            f"{start + int(finite.argmin())}. The model diverged or overflowed: use an earlier checkpoint or "
            "float32."
        )


def random_rows(vectors: Vectors, size: int, seed: int) -> np.ndarray:
    """Embeddings at random positions, in their order; float32 (size, dimension).

    The positions are drawn without replacement and depend on the seed, the size and the number of embeddings
    alone, not on the chunks.
    """
    drawn = np.random.default_rng(seed).choice(len(vectors), size, replace=False, shuffle=False)
    positions = np.sort(drawn)
    rows = np.empty((size, vectors.dimension), dtype=np.float32)
    start = 0
    for chunk in checked_chunks(vectors):
        first, last = np.searchsorted(positions, [start, start + len(chunk)])
        rows[first:last] = chunk[positions[first:last] - start]
        start += len(chunk)
    return rows


def fingerprint_of(vectors: Vectors) -> str:
    """Hex digest of the embeddings: their own attribute `fingerprint`, else SHA-256 of their bytes.

    It does not depend on the chunks.
    """
    own = getattr(vectors, "fingerprint", None)
    if isinstance(own, str):
        return own
    digest = hashlib.sha256(f"{len(vectors)} x {vectors.dimension}".encode())
    for chunk in checked_chunks(vectors):
        digest.update(chunk.data)
    return digest.hexdigest()
