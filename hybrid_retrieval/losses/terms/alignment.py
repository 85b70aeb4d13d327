"""Translations close together."""

import torch
from torch import Tensor
from torch.nn import functional


def alignment(
    texts: Tensor, translations: Tensor, same: Tensor | None = None, *, temperature: float | None = None
) -> Tensor:
    r"""Pull the embeddings of texts and of their translations together.

    Without temperature, the mean of 1 - cos(x, y) over the pairs: half the squared distance that
    multilingual distillation minimises (Reimers and Gurevych, arXiv 2004.09813). With it, InfoNCE between
    translations in both directions, in which the translations of other texts are negatives: the semantic
    contrastive loss of Hu et al. (Findings of ACL 2023, arXiv 2210.06633).

    Args:
        texts: (n, d), L2-normalised queries, or passages.
        translations: (n, d), L2-normalised; row i is text i in another language, or as a teacher has it.
        same: (n, n) bool, for the contrastive form: rows that are no negatives of each other. None makes all
            rows differ; the diagonal does not count.
        temperature: positive, or None.

    Returns:
        Scalar.
    """
    if temperature is None:
        return 1 - (texts * translations).sum(dim=1).mean()
    logits = texts @ translations.T / temperature  # (n, n)
    labels = torch.arange(len(texts), device=texts.device)
    if same is not None:
        logits = logits.masked_fill(same.clone().fill_diagonal_(False), -torch.inf)
    return (functional.cross_entropy(logits, labels) + functional.cross_entropy(logits.T, labels)) / 2
