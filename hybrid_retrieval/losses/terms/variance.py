"""Less spread among the similarities of negative pairs."""

import torch
from torch import Tensor


def variance(
    queries: Tensor,
    passages: Tensor,
    answers: Tensor,
    *,
    instances: int | None = None,
) -> Tensor:
    r"""Mean over negative pairs of (cos(q, p) + 1 / (n - 1))^2 (Lee et al., arXiv 2506.09781).

    -1 / (n - 1) is the cosine of every negative pair when n embeddings lie as far apart as they can, which
    the full batch reaches and small batches overshoot; the term holds small batches near it. A pair is
    negative if the passage is not, in any language, a positive of the query. Hard negatives count like
    others.

    Args:
        queries: (b, d), L2-normalised.
        passages: (m, d), L2-normalised.
        answers: (b, m) bool, whether the passage is a positive of the query.
        instances: n, pairs of the training set, at least 2; None takes the limit of many, so that the
            target is 0.

    Returns:
        Scalar, 0 if there is no negative pair.
    """
    target = 0.0 if instances is None else -1 / (instances - 1)
    squares = (queries @ passages.T - target).square()  # (b, m)
    return torch.where(answers, 0, squares).sum() / (~answers).sum().clamp(min=1)
