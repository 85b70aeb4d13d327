"""The best candidates of each question over pairs of languages, exactly, in one pass over the passages."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor

from hybrid_retrieval.float32 import full_float32
from hybrid_retrieval.mining.candidates import Exclusions
from hybrid_retrieval.mining.embeddings import ParallelEmbeddings
from hybrid_retrieval.mining.settings import MiningSettings
from hybrid_retrieval.sampling.triples import IntArray

TRIPLE_TILE = 256
CANDIDATE_TILE = 2048
"""Scores are computed so many triples by so many candidates at a time: fixed, so that they never differ."""
_LAST = 0xFFFFFFFF
_NOTHING = torch.iinfo(torch.int64).min


@dataclass(frozen=True)
class Nearest:
    """The best candidates of each triple.

    Attributes:
        candidates: int64 (triples, depth), positions among the candidates, best first and of equal scores
            the smaller first; -1 where there are no more.
        scores: float32 (triples, depth), -inf where there are no more.
        positive_scores: float32 (triples,).
    """

    candidates: IntArray
    scores: np.ndarray
    positive_scores: np.ndarray


def find_nearest(
    queries: ParallelEmbeddings,
    passages: ParallelEmbeddings,
    positives: IntArray,
    exclusions: Exclusions,
    settings: MiningSettings,
    *,
    device: torch.device | str = "cpu",
    title: str | None = None,
) -> Nearest:
    """Score every candidate for every triple and keep the best `settings.range_max` that are not excluded.

    The score of a candidate is the greatest, or the mean, of the inner products over the pairs of languages
    of the setting in which query and passage both exist; a candidate without such a pair is not found. It is
    not a search by one inner product (`hybrid_retrieval.index.exact`), since the mean over the pairs that
    exist is none. A positive without such a pair is scored over all pairs of languages.

    At one time are held: the embeddings of CANDIDATE_TILE passages and of TRIPLE_TILE queries in all
    languages, a few blocks of their scores (2 MiB each), and `range_max` x 8 bytes for each triple.

    Args:
        queries: of the triples.
        passages: of the candidates.
        positives: int64 (triples,), the positives' positions among the candidates.
        exclusions: of the triples.
        settings: `setting`, `aggregate` and `range_max` count.
        device: where to compute.
        title: what to call this in a progress bar; None shows none.
    """
    triples, depth = len(queries), min(settings.range_max, len(passages))
    best = torch.full((triples, depth), _NOTHING, dtype=torch.int64)
    positive_scores = np.full(triples, -np.inf, dtype=np.float32)
    with torch.inference_mode(), full_float32():
        for first in _shown(range(0, len(passages), CANDIDATE_TILE), title):
            columns = slice(first, min(first + CANDIDATE_TILE, len(passages)))
            tile = _Tile(passages, columns, device)
            for start in range(0, triples, TRIPLE_TILE):
                rows = slice(start, min(start + TRIPLE_TILE, triples))
                scores = tile.scores(_Tile(queries, rows, device), settings)
                own = np.flatnonzero((positives[rows] >= first) & (positives[rows] < columns.stop))
                at = torch.from_numpy(own), torch.from_numpy(positives[rows][own] - first)
                positive_scores[start + own] = scores[at].cpu().numpy()
                triple, candidate = exclusions.pairs(rows.start, rows.stop)
                here = (candidate >= first) & (candidate < columns.stop)
                scores[torch.from_numpy(triple[here]), torch.from_numpy(candidate[here] - first)] = -torch.inf
                keys = _keys(scores, first)
                keys = keys.topk(min(depth, keys.shape[1]), dim=1).values.cpu()
                best[rows] = torch.cat([best[rows], keys], dim=1).topk(depth, dim=1).values
    found, candidates = _unpacked(best)
    unscored = np.flatnonzero(positive_scores == -np.inf)
    if len(unscored):
        cells = pair_scores(queries, passages, unscored, positives[unscored, None])[:, 0]
        exists = np.isfinite(cells)
        mean = np.where(exists, cells, 0).sum((1, 2)) / exists.sum((1, 2))
        positive_scores[unscored] = cells.max((1, 2)) if settings.aggregate == "max" else mean
    return Nearest(candidates, found, positive_scores)


def pair_scores(
    queries: ParallelEmbeddings, passages: ParallelEmbeddings, triples: IntArray, candidates: IntArray
) -> np.ndarray:
    """Inner products in every pair of languages.

    Args:
        queries: of the triples.
        passages: of the candidates.
        triples: int64 (n,).
        candidates: int64 (n, k), positions; -1 for none.

    Returns:
        float32 (n, k, languages of the query, languages of the passage), -inf where one does not exist.
    """
    n, k = candidates.shape
    of_queries = np.moveaxis(np.asarray(queries.values[:, triples]), 0, 1)  # (n, x, d)
    of_passages = np.moveaxis(np.asarray(passages.values[:, candidates.ravel()]), 0, 1)  # (n * k, y, d)
    together = of_passages.reshape(n, -1, passages.dimension)  # (n, k * y, d)
    products = of_queries @ together.transpose(0, 2, 1)  # (n, x, k * y)
    scores: np.ndarray = products.reshape(n, len(queries.exists), k, -1).swapaxes(1, 2).copy()
    query = np.asarray(queries.exists[:, triples]).T[:, None, :, None]
    passage = np.asarray(passages.exists[:, candidates.ravel()]).T.reshape(n, k, 1, -1)
    there = np.asarray(candidates)[:, :, None, None] >= 0
    scores[~(query & passage & there)] = -np.inf
    return scores


class _Tile:
    """Some of the texts, in all languages, on the device."""

    def __init__(self, of: ParallelEmbeddings, part: slice, device: torch.device | str) -> None:
        self.values = torch.from_numpy(np.array(of.values[:, part])).to(device)
        self.exists = torch.from_numpy(np.array(of.exists[:, part])).to(device)
        self.complete = [bool(row.all()) for row in of.exists[:, part]]

    def scores(self, queries: "_Tile", settings: MiningSettings) -> Tensor:
        """Aggregated over the pairs of languages: float32 (queries, passages), -inf without a pair."""
        greatest = settings.aggregate == "max"
        shape = (queries.values.shape[1], self.values.shape[1])
        nothing = -torch.inf if greatest else 0.0
        total = self.values.new_full(shape, nothing)
        pairs = torch.zeros_like(total)
        for x, others in settings.pairs(len(self.values)):
            for y in others:
                cell = queries.values[x] @ self.values[y].T
                both = queries.exists[x][:, None] & self.exists[y]
                if not (queries.complete[x] and self.complete[y]):
                    cell.masked_fill_(~both, nothing)
                if greatest:
                    torch.maximum(total, cell, out=total)
                else:
                    total += cell
                    pairs += both
        return total if greatest else (total / pairs).masked_fill_(pairs == 0, -torch.inf)


def _keys(scores: Tensor, first: int) -> Tensor:
    """Scores and positions as int64 that sort as wanted: greater scores first, then smaller positions.

    Args:
        scores: float32 (rows, columns).
        first: position of column 0.
    """
    bits = (scores + 0.0).view(torch.int32)  # -0.0 becomes 0.0, which it equals
    ordered = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).to(torch.int64)
    positions = torch.arange(first, first + scores.shape[1], device=scores.device)
    keys = (ordered << 32) | (_LAST - positions)
    return keys.masked_fill_(scores == -torch.inf, _NOTHING)


def _unpacked(keys: Tensor) -> tuple[np.ndarray, IntArray]:
    """Scores and positions of keys; -inf and -1 for none."""
    ordered = (keys >> 32).to(torch.int32)
    scores = torch.where(ordered < 0, ordered ^ 0x7FFFFFFF, ordered).view(torch.float32)
    nothing = keys == _NOTHING
    positions = (_LAST - (keys & _LAST)).masked_fill(nothing, -1)
    return scores.masked_fill(nothing, -torch.inf).numpy(), positions.numpy()


def _shown(tiles: range, title: str | None) -> Iterable[int]:
    console = Console(stderr=True)
    if title is None or not console.is_terminal:
        return tiles
    return track(tiles, description=title, console=console)
