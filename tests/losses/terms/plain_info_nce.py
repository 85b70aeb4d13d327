"""InfoNCE with every option as plain loops over pairs, written from the definition."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional


def plain_info_nce(
    queries: Tensor,
    passages: Tensor,
    positives: Sequence[int],
    passage_ids: Sequence[int],
    query_ids: Sequence[int] | None = None,
    *,
    rows: Sequence[int] | None = None,
    temperature: float = 0.05,
    reverse: float = 0.0,
    within_view: bool = False,
    margin: float | None = None,
    dimensions: Sequence[int] | None = None,
    dimension_weights: Sequence[float] | None = None,
) -> Tensor:
    """The mean loss of some rows (None: all); the positive of query i is `passages[positives[i]]`.

    `query_ids` of None makes all queries differ.
    """
    names = range(len(queries)) if query_ids is None else query_ids
    sizes = dimensions or [queries.shape[1]]
    weights = dimension_weights or [1.0] * len(sizes)
    total = queries.new_zeros(())
    for size, weight in zip(sizes, weights, strict=True):
        whole = size == queries.shape[1]
        q, p = (x if whole else functional.normalize(x[:, :size], dim=1) for x in (queries, passages))
        for i in range(len(queries)) if rows is None else rows:
            positive = q[i] @ p[positives[i]]
            own = {passage_ids[at] for name, at in zip(names, positives, strict=True) if name == names[i]}
            others = [x for x, number in zip(p, passage_ids, strict=True) if number not in {*own, -1}]
            siblings = [x for x, at in zip(q, positives, strict=True) if passage_ids[at] not in own]
            limit = torch.inf if margin is None else float(positive) - margin
            for anchor, opposite, same, share in (
                (q[i], others, siblings, 1.0),
                (p[positives[i]], siblings, others, reverse),
            ):
                scores = [anchor @ x for x in opposite + (same if within_view else [])]
                kept = [positive, *(score for score in scores if float(score) <= limit)]
                loss = torch.logsumexp(torch.stack(kept) / temperature, dim=0) - positive / temperature
                total = total + weight * share * loss / (1 + reverse)
    return total / sum(weights) / (len(queries) if rows is None else len(rows))
