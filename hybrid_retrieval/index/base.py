"""What passes between the embeddings of a corpus and a search over them."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np


class Vectors(Protocol):
    """Embeddings of a corpus, in order, too many to hold in memory at one time."""

    @property
    def dimension(self) -> int:
        """Of each embedding."""
        ...

    def __len__(self) -> int:
        """Number of embeddings."""
        ...

    def chunks(self, rows: int) -> Iterator[np.ndarray]:
        """All embeddings in order, float32 (at most `rows`, dimension) at one time."""
        ...


class Searcher(Protocol):
    """Finds the embeddings with the greatest inner product."""

    def search(self, queries: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Search with every query.

        Args:
            queries: float32 (queries, dimension).
            k: how many to find; the whole corpus if it is smaller.

        Returns:
            Scores float32 (queries, k), descending, and positions int64 (queries, k). A place that an
            approximate search could not fill has position -1 and score -inf.
        """
        ...
