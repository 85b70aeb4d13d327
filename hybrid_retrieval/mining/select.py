"""From the best candidates of each question to its negatives."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from hybrid_retrieval.mining.nearest import Nearest
from hybrid_retrieval.mining.settings import MiningSettings
from hybrid_retrieval.sampling.counter_random import stream_key, uniforms
from hybrid_retrieval.sampling.triples import BoolArray, IntArray


@dataclass(frozen=True)
class Selection:
    """The negatives of each triple.

    Attributes:
        candidates: int64 (triples, k), positions among the candidates, then -1. Best first, or in the order
            in which they were drawn.
        scores: float32 (triples, k), -inf where there is none.
        filtered: how many candidates within the range each rule took away that no rule before it did.
    """

    candidates: IntArray
    scores: np.ndarray
    filtered: Mapping[str, int]

    def counts(self) -> IntArray:
        """Number of negatives of each triple."""
        return np.asarray((self.candidates >= 0).sum(axis=1), dtype=np.int64)


def select_negatives(
    nearest: Nearest,
    settings: MiningSettings,
    queries: IntArray,
    passages: IntArray,
    *,
    seed: int = 0,
    name: str = "",
) -> Selection:
    """Take the ranks of the range, drop what the rules forbid, and keep the best or draw at random.

    What is drawn depends on the seed, the data set, the question and the passages that are left, on nothing
    else.

    Args:
        nearest: of the triples.
        settings: the range, the rules, `k` and `sampling`.
        queries: int64 (triples,), query ids.
        passages: int64 (candidates,), passage ids.
        seed: of the drawing.
        name: of the data set.
    """
    window = slice(settings.range_min, settings.range_max)
    candidates, scores = nearest.candidates[:, window], nearest.scores[:, window]
    left = candidates >= 0
    filtered: dict[str, int] = {}
    for rule, forbidden in _rules(scores.astype(np.float64), nearest.positive_scores, settings).items():
        filtered[rule] = int((left & forbidden).sum())
        left &= ~forbidden
    if settings.sampling == "top":
        order = np.broadcast_to(np.arange(left.shape[1], dtype=np.float64), left.shape)
    else:
        counters = queries.astype(np.uint64)[:, None] << np.uint64(32)
        drawn = counters + passages[candidates].astype(np.uint64)
        order = uniforms(stream_key(seed, "mine", name), drawn)
    chosen = np.argsort(np.where(left, order, np.inf), axis=1, kind="stable")[:, : settings.k]
    kept = np.take_along_axis(left, chosen, axis=1)
    shape = (len(left), settings.k)
    of_candidates = np.full(shape, -1, dtype=np.int64)
    of_scores = np.full(shape, -np.inf, dtype=np.float32)
    width = chosen.shape[1]
    of_candidates[:, :width] = np.where(kept, np.take_along_axis(candidates, chosen, axis=1), -1)
    of_scores[:, :width] = np.where(kept, np.take_along_axis(scores, chosen, axis=1), -np.inf)
    return Selection(of_candidates, of_scores, filtered)


def _rules(scores: np.ndarray, positive: np.ndarray, settings: MiningSettings) -> dict[str, BoolArray]:
    """What each rule that is set forbids, bool (triples, ranks)."""
    own = positive.astype(np.float64)[:, None]
    bounds: dict[str, BoolArray] = {}
    if settings.max_score is not None:
        bounds["max_score"] = scores > settings.max_score
    if settings.margin is not None:
        bounds["margin"] = scores >= own - settings.margin
    if settings.relative_margin is not None:
        bounds["relative_margin"] = scores >= own - settings.relative_margin * np.abs(own)
    return bounds
