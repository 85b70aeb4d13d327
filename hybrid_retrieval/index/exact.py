"""Exact search: the inner product with every embedding, read in chunks, in bounded memory."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.float32 import full_float32
from hybrid_retrieval.index.base import Vectors
from hybrid_retrieval.index.chunks import check_finite, checked_chunks

QUERY_TILE = 128
ROW_TILE = 8192
"""A matrix product has at most so many queries and embeddings: fixed, so that no setting changes a score."""
BLOCK_BYTES_CPU = 16 << 20
BLOCK_BYTES_GPU = 256 << 20


class ExactSearch:
    """The embeddings with the greatest inner product, among all of them.

    Scores are float32 and those of TF32 or autocast never. Equal scores are ordered by position, ascending.
    Neither scores nor positions depend on `block_bytes` or on the chunks in which `vectors` come: row i is
    always multiplied in the tile of rows i // ROW_TILE. Equal embeddings are ties where the matrix product
    rounds them alike, which the edge of a tile can prevent in the last bit.

    One pass over `vectors` serves all queries. At one time are held: the scores of QUERY_TILE queries
    (`block_bytes`, and up to four times as much while the first ones are sorted out), the float32 embeddings
    that these scores are of, and k scores and positions (12 bytes) for each query.

    Args:
        vectors: the corpus.
        block_bytes: bound in bytes on the block of scores, at least QUERY_TILE x ROW_TILE x 4 (4 MiB); None
            is 16 MiB on the CPU (32,768 embeddings) and 256 MiB on a GPU.
        device: where to compute; None is the GPU if there is one, else the CPU.
    """

    def __init__(
        self, vectors: Vectors, *, block_bytes: int | None = None, device: torch.device | str | None = None
    ) -> None:
        self.vectors = vectors
        self.device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
        bound = block_bytes or (BLOCK_BYTES_GPU if self.device.type == "cuda" else BLOCK_BYTES_CPU)
        self.rows = max(1, bound // (4 * QUERY_TILE * ROW_TILE)) * ROW_TILE

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Search with every query.

        Args:
            queries: float32 (queries, dimension).
            k: how many to find; the whole corpus if it is smaller.

        Returns:
            Scores float32 (queries, k), descending, and positions int64 (queries, k).

        Raises:
            UserError: the dimensions differ, or an embedding is NaN or infinite.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, not {k}")
        if queries.ndim != 2 or queries.shape[1] != self.vectors.dimension:
            raise UserError(
                f"the queries have shape {queries.shape}, the corpus has embeddings of "
                f"{self.vectors.dimension} dimensions. Embed both with one model."
            )
        check_finite(queries, "query embeddings")
        k = min(k, len(self.vectors))
        best = _Best(len(queries), k, self.device)
        if not len(queries) or not k:
            return best.scores.cpu().numpy(), best.positions.cpu().numpy()
        with torch.inference_mode(), full_float32():
            on_device = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(self.device)
            scores = torch.empty((min(QUERY_TILE, len(queries)), self.rows), device=self.device)
            for start, rows in self._blocks():
                for first in range(0, len(queries), QUERY_TILE):
                    of = slice(first, min(first + QUERY_TILE, len(queries)))
                    block = scores[: of.stop - of.start, : len(rows)]
                    for tile in range(0, len(rows), ROW_TILE):
                        columns = slice(tile, min(tile + ROW_TILE, len(rows)))
                        torch.mm(on_device[of], rows[columns].T, out=block[:, columns])
                    best.add(of, block, start)
        return best.scores.cpu().numpy(), best.positions.cpu().numpy()

    def _blocks(self) -> Iterator[tuple[int, Tensor]]:
        """Yield `rows` embeddings at a time, with the position of the first; their memory is used again."""
        rows = min(self.rows, len(self.vectors))
        buffer = torch.empty((rows, self.vectors.dimension), device=self.device)
        start = filled = 0
        for chunk in checked_chunks(self.vectors, ROW_TILE):
            read = torch.from_numpy(chunk if chunk.flags.writeable else chunk.copy())
            while len(read):
                taken = min(len(read), rows - filled)
                buffer[filled : filled + taken] = read[:taken]
                read, filled = read[taken:], filled + taken
                if filled == rows:
                    yield start, buffer
                    start, filled = start + filled, 0
        if filled:
            yield start, buffer[:filled]


class _Best:
    """The first k of each query among the embeddings seen, which come in order of position."""

    def __init__(self, queries: int, k: int, device: torch.device) -> None:
        self.k = k
        self.scores = torch.full((queries, k), -torch.inf, device=device)
        self.positions = torch.full((queries, k), -1, dtype=torch.int64, device=device)

    def add(self, queries: slice, scores: Tensor, start: int) -> None:
        """Take in the scores (queries, rows) of the embeddings from position `start` on."""
        old = self.scores[queries]
        # An embedding that only equals the k-th so far comes after it: it has the greater position.
        row, column = _first(scores, old[:, -1], self.k)
        if not len(row):
            return
        count = torch.bincount(row, minlength=len(old))
        slot = torch.arange(len(row), device=row.device) - (count.cumsum(0) - count)[row]
        new = old.new_full((len(old), int(count.max())), -torch.inf)
        positions = torch.full_like(new, -1, dtype=torch.int64)
        new[row, slot] = scores[row, column] + 0.0  # -0.0 becomes 0.0, which it equals
        positions[row, slot] = column + start
        merged, order = torch.cat([old, new], dim=1).sort(dim=1, descending=True, stable=True)
        self.positions[queries] = torch.cat([self.positions[queries], positions], dim=1).gather(
            1, order[:, : self.k]
        )
        self.scores[queries] = merged[:, : self.k]


def _first(scores: Tensor, above: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Row and column, in order, of the first k of each row that exceed the row's `above`.

    Among equal scores the first columns are taken, which `topk` alone does not promise.
    """
    rows = (scores.amax(dim=1) > above).nonzero()[:, 0]
    scores = scores[rows]
    taken = scores > above[rows, None]
    # Bytes are added up far faster than truth values.
    many = (taken.view(torch.uint8).sum(dim=1, dtype=torch.int32) > k).nonzero()[:, 0]
    if len(many):
        of_many = scores[many]
        kth = of_many.topk(k, dim=1).values[:, -1:]
        better, equal = of_many > kth, of_many == kth
        left = k - better.sum(dim=1, keepdim=True)
        taken[many] = better | (equal & (equal.cumsum(dim=1, dtype=torch.int32) <= left))
    row, column = taken.nonzero(as_tuple=True)
    return rows[row], column
