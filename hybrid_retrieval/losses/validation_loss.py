"""Validation loss: InfoNCE over all held-out pairs, in one language and across languages."""

from collections import defaultdict
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from hybrid_retrieval.losses.pair_ids import Answers

_KEY_FLOATS = 10  # five int64, each seen as two float32


class ValidationLoss(Metric):
    """InfoNCE of each held-out query against all held-out passages of one language.

    For every ordered pair of languages (X, Y) the queries of X are scored against the passages of Y, with the
    training temperature; a query counts where its passage exists in Y. The other positives of a query are no
    negatives, as in training. `loss_monolingual` is the mean over X = Y, `loss_cross_lingual` the mean over
    X != Y, and `loss` the mean of the two (or the one that exists), so that early stopping favours neither.
    Repeats of one (item, language) count once; the value does not depend on the number of processes or the
    order of updates.

    Args:
        dimension: of the embeddings.
        temperature: of the training loss; may be set anew before `compute`.
    """

    full_state_update = False
    higher_is_better = False
    is_differentiable = False

    rows: list[Tensor]

    def __init__(self, dimension: int, temperature: float = 0.05, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.temperature = temperature
        # One row a text: kind, item, passage, language and query as bits, then the embedding. Flat float32,
        # so that a rank without any data can take part in the gathering.
        self.add_state("rows", default=[], dist_reduce_fx="cat")
        self._width = _KEY_FLOATS + dimension

    def update(
        self,
        kind: Literal["query", "passage"],
        embeddings: Tensor,
        item_ids: Tensor,
        passage_ids: Tensor,
        languages: Tensor,
        *,
        query_ids: Tensor | None = None,
    ) -> None:
        """Add queries or passages.

        Args:
            kind: as the following four, as for `ParallelRetrieval.update`.
            embeddings: see there.
            item_ids: see there.
            passage_ids: see there.
            languages: see there.
            query_ids: int64 (n,), the same for items of one query with different passages, of passages any;
                None where every item has a query of its own.
        """
        query_ids = item_ids if query_ids is None else query_ids
        kinds = torch.full_like(item_ids, int(kind == "passage"))
        keys = torch.stack([kinds, item_ids, passage_ids, languages, query_ids], dim=1)
        bits = keys.long().contiguous().view(torch.float32)
        self.rows.append(torch.cat([bits, embeddings.detach().float()], dim=1).flatten())

    def compute(self) -> dict[str, Tensor]:
        """`loss`, `loss_monolingual` and `loss_cross_lingual`, float32 scalars; NaN where undefined."""
        undefined = torch.tensor(float("nan"))
        result = dict.fromkeys(("loss", "loss_monolingual", "loss_cross_lingual"), undefined)
        if not len(self.rows):
            return result
        rows = dim_zero_cat(self.rows).cpu().reshape(-1, self._width)
        keys = rows[:, :_KEY_FLOATS].contiguous().view(torch.int64)
        embeddings = rows[:, _KEY_FLOATS:]
        identity = torch.where(keys[:, 0] == 0, keys[:, 1], keys[:, 2])
        unique = torch.stack([keys[:, 0], keys[:, 3], identity], dim=1).numpy()
        first: dict[tuple[int, ...], int] = {}
        for row, key in enumerate(map(tuple, unique)):
            first.setdefault(key, row)
        groups: dict[tuple[int, int], list[int]] = defaultdict(list)
        for key in sorted(first):
            groups[key[0], key[1]].append(first[key])
        pairs = keys[keys[:, 0] == 0][:, [4, 2]]  # query, passage
        languages = sorted({language for _, language in groups})
        losses: dict[bool, list[Tensor]] = {True: [], False: []}
        for x in languages:
            for y in languages:
                if groups[0, x] and groups[1, y]:
                    queries, passages = torch.tensor(groups[0, x]), torch.tensor(groups[1, y])
                    loss = self._pair(embeddings, keys, pairs, queries, passages)
                    if loss is not None:
                        losses[x == y].append(loss)
        for name, same in (("loss_monolingual", True), ("loss_cross_lingual", False)):
            if losses[same]:
                result[name] = torch.stack(losses[same]).mean()
        both = [v for k, v in result.items() if k != "loss" and not torch.isnan(v)]
        if both:
            result["loss"] = torch.stack(both).mean()
        return result

    def _pair(
        self, embeddings: Tensor, keys: Tensor, pairs: Tensor, queries: Tensor, passages: Tensor
    ) -> Tensor | None:
        same = keys[queries, 2][:, None] == keys[passages, 2]
        queries, same = queries[same.any(1)], same[same.any(1)]
        if not len(queries):
            return None
        others = Answers(keys[queries, 4], *pairs.unbind(1)).among(keys[passages, 2]) & ~same
        scores = embeddings[queries] @ embeddings[passages].T / self.temperature
        return functional.cross_entropy(scores.masked_fill(others, -torch.inf), same.int().argmax(1))
