"""Which query and which passage every text of a batch is, and which passages answer which query."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass
class PairIds:
    """Ids of the b pairs of a rank, the same in every language and different for different data sets.

    Attributes:
        query: int64 (b,). Pairs of one query with different positives have the same.
        passage: int64 (b * (1 + k),), first the positives in the order of the queries, then the hard
            negatives; -1 is padding.
    """

    query: Tensor
    passage: Tensor

    @property
    def positive(self) -> Tensor:
        """The positive of each query, (b,)."""
        return self.passage[: len(self.query)]


class Answers:
    """The passages of a global batch that answer the query of each row.

    Passage p answers query q if some pair of the global batch, of whichever rank, has q and the positive p.
    A query may have several pairs, with a positive each: none of these is a negative of the others' rows.

    Memory is one byte for each row and pair.

    Args:
        queries: int64 (r,), the query ids of the rows.
        pair_queries: int64 (n,), the query ids of all pairs of the global batch.
        pair_positives: int64 (n,), passage ids of their positives.
    """

    def __init__(self, queries: Tensor, pair_queries: Tensor, pair_positives: Tensor) -> None:
        own = queries.sort().values
        self._passages = pair_positives.sort().values
        # One row for each different query, one for queries of other ranks; one column for each different
        # positive, one that stays false for passages that are no positive.
        known = torch.zeros(len(own) + 1, len(pair_positives) + 1, dtype=torch.bool, device=queries.device)
        known[_places(own, pair_queries), _places(self._passages, pair_positives)] = True
        self._known = known[_places(own, queries)]  # (r, n + 1)

    def among(self, passages: Tensor) -> Tensor:
        """Whether each passage answers the query of each row.

        Args:
            passages: int64 (m,), passage ids.

        Returns:
            bool (r, m).
        """
        return self._known.index_select(1, _places(self._passages, passages))


def _places(ascending: Tensor, values: Tensor) -> Tensor:
    """Where each value first stands; the length of `ascending` for those that are not there."""
    last = len(ascending) - 1
    places = torch.searchsorted(ascending, values.contiguous()).clamp(max=last)
    return places.where(ascending[places] == values, last + 1)
