"""A passage close to a view of its salient tokens, and far from what is left without them."""

import torch
from torch import Tensor
from torch.nn import functional


def salient_view(
    passages: Tensor,
    views: Tensor,
    same: Tensor | None = None,
    remainders: Tensor | None = None,
    *,
    temperature: float = 0.1,
    independence: float = 0.1,
) -> Tensor:
    r"""InfoNCE between passages and views of their salient tokens, with the remaining tokens as negatives.

    For passage x_i, its view v_i and its remainder r_i, the tokens that the view leaves out, the mean over i
    of S_i + independence * N_i with

        e(x, y) = exp(cos(x, y) / t),
        S_i = -log( e(x_i, v_i) / sum over j of e(x_i, v_j) ),
        N_i = -log( e(x_i, v_i) / (e(x_i, v_i) + sum over j of e(x_i, r_j)) ).

    A text form of RGCL (Li et al., arXiv 2206.07869, ICML 2022), which contrasts views of graphs that keep
    their salient nodes ("rationales"), drawn without replacement in proportion to the nodes' scores. The form
    of the two parts, and the values of temperature and independence, are those of the training script that
    the authors published; of the paper itself only the abstract was at hand. What differs:

    - Salience is not learned by a generator network but is the inverse document frequency of a token in the
      training passages of its language (`data.salience`), so that views are a function of the data and of
      (seed, step, row), and the term has no parameters.
    - The view is contrasted with the passage itself, not with a second view: the passage is encoded anyway.
    - The remainder is what the view drops; RGCL draws it anew, in proportion to the least salient nodes.
    - The positive stands in the denominator of S, as in InfoNCE elsewhere.

    Args:
        passages: (b, d), L2-normalised positives.
        views: (b, d), L2-normalised; row i has the salient tokens of passage i.
        same: (b, b) bool, rows whose views are no negatives of each other. None makes all rows differ; the
            diagonal does not count.
        remainders: (b, d), L2-normalised; needed unless `independence` is 0.
        temperature: t, positive.
        independence: weight of the second part, at least 0.

    Returns:
        Scalar.

    Raises:
        ValueError: `remainders` are missing.
    """
    scores = passages @ views.T / temperature  # (b, b)
    labels = torch.arange(len(passages), device=passages.device)
    own = scores.diagonal()
    if same is not None:
        scores = scores.masked_fill(same.clone().fill_diagonal_(False), -torch.inf)
    loss = functional.cross_entropy(scores, labels)
    if not independence:
        return loss
    if remainders is None:
        raise ValueError("remainders are missing; independence above 0 needs them")
    against = torch.cat([own[:, None], passages @ remainders.T / temperature], dim=1)  # (b, 1 + b)
    return loss + independence * (torch.logsumexp(against, dim=1) - own).mean()
