"""Retrieval quality during training, right under DDP."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from hybrid_retrieval.evaluation.language_bias.rank_distance import rank_distance
from hybrid_retrieval.evaluation.metrics import RelevantRanks
from hybrid_retrieval.evaluation.ranking import rank_relevant
from hybrid_retrieval.evaluation.settings import QueryScores, macro_cross_lingual, macro_monolingual, mean

Kind = Literal["query", "passage"]
_NO_KEYS = np.empty((0, 3), dtype=np.int64)


class ParallelRetrieval(Metric):
    """mAP in the three settings and rank distance over the queries and passages of a validation epoch.

    Every query is ranked against every passage seen, on whichever process. Queries are told apart by (query
    id, language), passages by (passage id, language): repeats, such as those that a distributed sampler pads
    with or the several triples of one query, count once. Relevant are all positives of the query seen in any
    language, each in whatever language has it, as for the loss (`losses.pair_ids.Answers`); a query without
    one is left out. Rank distance is that between the translations of a positive, averaged over the query's
    positives. Equal scores are ordered by language, then passage id, descending. The result does not depend
    on the order of updates or the number of processes, beyond the rounding of the embeddings themselves.

    `compute` gives float32 scalars `map_monolingual`, `map_cross_lingual`, `map_multilingual` and
    `rank_distance`, NaN where nothing defines them (the cross-lingual setting of one language, any before
    the first update, any when an embedding is NaN or infinite).
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    # One-dimensional float32, the int64 keys as their bits: a process without any data takes part in the
    # gathering with an empty tensor of that kind, which torchmetrics makes.
    query_embeddings: list[Tensor]
    query_keys: list[Tensor]
    passage_embeddings: list[Tensor]
    passage_keys: list[Tensor]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        for state in ("query_embeddings", "query_keys", "passage_embeddings", "passage_keys"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(
        self,
        kind: Kind,
        embeddings: Tensor,
        item_ids: Tensor,
        passage_ids: Tensor,
        languages: Tensor,
        *,
        query_ids: Tensor | None = None,
    ) -> None:
        """Add queries or passages.

        Args:
            kind: "query" or "passage".
            embeddings: float (n, dimension), L2-normalised.
            item_ids: int (n,), id of the triple.
            passage_ids: int (n,), id of the passage in every language.
            languages: int (n,), not negative: language of the embedded text.
            query_ids: int (n,), the same for triples of one query with different positives, of passages any;
                None where every triple has a query of its own.
        """
        query_ids = item_ids if query_ids is None else query_ids
        keys = torch.stack([query_ids, passage_ids, languages], dim=1).long()
        if keys.shape != (len(embeddings), 3) or kind not in ("query", "passage"):
            raise ValueError(f"{kind}: {len(embeddings)} embeddings and ids of shape {tuple(item_ids.shape)}")
        getattr(self, f"{kind}_embeddings").append(embeddings.detach().float().flatten())
        getattr(self, f"{kind}_keys").append(keys.flatten().view(torch.float32))

    def compute(self) -> dict[str, Tensor]:
        """Rank and average over everything added since the last reset."""
        query_keys, passage_keys = _keys(self.query_keys), _keys(self.passage_keys)
        pairs = np.unique(query_keys[:, :2], axis=0)  # query, positive
        query_embeddings, query_keys = _distinct(self.query_embeddings, query_keys, identity=0)
        passage_embeddings, passage_keys = _distinct(self.passage_embeddings, passage_keys, identity=1)
        of_query, positives = _matches(query_keys[:, 0], pairs[:, 0])
        of_positive, relevant = _matches(pairs[positives, 1], passage_keys[:, 1])
        of_query = of_query[of_positive]
        answered, of_answered = np.unique(of_query, return_inverse=True)
        finite = np.isfinite(query_embeddings).all() and np.isfinite(passage_embeddings).all()
        if not (finite and len(answered)):
            return self._averages(np.full((1, 1), np.nan), np.nan, np.nan)
        languages = int(max(query_keys[:, 2].max(), passage_keys[:, 2].max())) + 1
        ranking = rank_relevant(
            query_embeddings[answered],
            passage_embeddings,
            candidate_language=passage_keys[:, 2],
            languages=languages,
            tie_order=np.arange(len(passage_keys))[::-1].copy(),
            relevant_offsets=np.searchsorted(of_query, [*answered, len(query_keys)]),
            relevant=relevant,
        )
        scores = QueryScores.of(ranking, query_keys[answered, 2])
        _, first, group = np.unique(of_positive, return_index=True, return_inverse=True)
        distances = rank_distance(RelevantRanks.of(group, ranking.rank_in_pool, len(first)))
        distance = _means(distances, of_answered[first], len(answered))
        return self._averages(
            scores.pairs("map"),
            mean(scores.by_query_language(scores.pool["map"])),
            mean(scores.by_query_language(distance)),
        )

    def _averages(self, pairs: np.ndarray, multilingual: float, distance: float) -> dict[str, Tensor]:
        averages = {
            "map_monolingual": macro_monolingual(pairs),
            "map_cross_lingual": macro_cross_lingual(pairs),
            "map_multilingual": multilingual,
            "rank_distance": distance,
        }
        return {key: torch.tensor(value, device=self.device).float() for key, value in averages.items()}


def _keys(keys: list[Tensor]) -> np.ndarray:
    """The keys of everything added, int64 (n, 3)."""
    return dim_zero_cat(keys).cpu().view(torch.int64).reshape(-1, 3).numpy() if len(keys) else _NO_KEYS


def _distinct(embeddings: list[Tensor], keys: np.ndarray, *, identity: int) -> tuple[np.ndarray, np.ndarray]:
    """Keep one row for each (language, keys[:, identity]), sorted by them."""
    if not len(keys):
        return np.empty((0, 1), dtype=np.float32), keys
    _, rows = np.unique(keys[:, [2, identity]], axis=0, return_index=True)
    return dim_zero_cat(embeddings).cpu().reshape(len(keys), -1).numpy()[rows], keys[rows]


def _matches(values: np.ndarray, among: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Positions of all pairs of equal entries, in the order of `values`, then of `among`; int64 each."""
    order = np.argsort(among, kind="stable")
    first, last = (np.searchsorted(among, values, side=side, sorter=order) for side in ("left", "right"))
    counts = last - first
    within = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return np.repeat(np.arange(len(values)), counts), order[np.repeat(first, counts) + within]


def _means(values: np.ndarray, groups: np.ndarray, count: int) -> np.ndarray:
    """Mean of the values of each group that are not NaN, float64 (count,); NaN where there are none."""
    known = ~np.isnan(values)
    sums = np.bincount(groups[known], values[known], minlength=count)
    sizes = np.bincount(groups[known], minlength=count)
    return np.where(sizes > 0, sums / np.maximum(sizes, 1), np.nan)
