"""The same ranking for a query in two languages."""

from torch import Tensor
from torch.nn import functional


def score_agreement(
    queries: Tensor, parallel_queries: Tensor, passages: Tensor, *, temperature: float = 0.05
) -> Tensor:
    r"""Symmetric KL divergence of the scores that a query and its translation give to the same passages.

        mean over queries of (KL(P || Q) + KL(Q || P)) / 2,
        P = softmax(cos(q, p) / temperature), Q = softmax(cos(q', p) / temperature) over all passages p,

    the aim of the distillation of LaKDA (arXiv 2509.06195): the language of a query must not decide what it
    finds. Neither language is the teacher, so both get a gradient, and so do the passages.

    Args:
        queries: (b, d), L2-normalised.
        parallel_queries: (b, d), L2-normalised; row i is query i in another language.
        passages: (m, d), L2-normalised, in any languages.
        temperature: positive.

    Returns:
        Scalar.
    """
    first = functional.log_softmax(queries @ passages.T / temperature, dim=1)  # (b, m)
    second = functional.log_softmax(parallel_queries @ passages.T / temperature, dim=1)
    # KL(P || Q) + KL(Q || P) = sum of (P - Q) * (log P - log Q).
    return ((first.exp() - second.exp()) * (first - second)).sum(dim=1).mean() / 2
