"""One centre for the embeddings of all languages."""

import torch
from torch import Tensor


def language_centring(embeddings: Tensor, languages: Tensor) -> Tensor:
    r"""Squared distance of the mean of each language from the mean of all, averaged over texts.

        sum over languages l of (n_l / n) * |mean of l - mean of all|^2,

    the part of the variance of embeddings that language explains. It has the aim of the language contrastive
    loss of Hu et al. (Findings of ACL 2023, arXiv 2210.06633), embeddings that do not tell the language, but
    acts on first moments alone and needs no sentence pairs; that language is largely a shift of the mean is
    the finding of Libovicky et al. (arXiv 2004.05160). Queries and passages are centred apart, as they differ
    by more than language.

    Different texts of few per language have different means by chance alone, (languages - 1) / (n - 1) of
    the variance, so the term also draws all texts together a little; batches should have several texts of a
    language. A batch of one language has value and gradient 0.

    Args:
        embeddings: (n, d), queries or passages.
        languages: (n,) int64, any numbers of at least 0.

    Returns:
        Scalar.
    """
    present, codes = torch.unique(languages, return_inverse=True)
    counts = torch.bincount(codes, minlength=len(present)).to(embeddings.dtype)  # (languages,)
    sums = embeddings.new_zeros(len(present), embeddings.shape[1]).index_add(0, codes, embeddings)
    centres = sums / counts[:, None]  # (languages, d)
    distances = (centres - embeddings.mean(dim=0)).square().sum(dim=1)
    return (counts * distances).sum() / len(embeddings)
