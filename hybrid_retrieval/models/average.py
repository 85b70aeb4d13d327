"""One model from several of equal shape: the weighted mean of their weights."""

from collections.abc import Sequence

import torch

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.encoder import TextEncoder


@torch.no_grad()
def average_weights(encoder: TextEncoder, others: Sequence[TextEncoder], shares: Sequence[float]) -> None:
    """Replace every weight of an encoder by a weighted mean over it and others.

    Between a fine-tuned model and the one it was tuned from, the mean often keeps most of what was learned
    and loses less of what was known: WiSE-FT (Wortsman et al., arXiv 2109.01903), for retrievers LM-Cocktail
    (Xiao et al., arXiv 2311.13534). Over runs of several seeds it is a model soup (arXiv 2203.05482).

    Args:
        encoder: changed in place; its own share is what `shares` leave of 1.
        others: of the same architecture and vocabulary.
        shares: one for each of `others`, in [0, 1], with a sum of at most 1.

    Raises:
        UserError: the shares do not fit, or a model has other weights, another vocabulary, pooling or prefix.
    """
    if len(shares) != len(others) or any(not 0 <= share <= 1 for share in shares) or sum(shares) > 1 + 1e-9:
        raise UserError(
            f"average.shares={list(shares)} must give each of the {len(others)} models of average.models a "
            "number from 0 to 1, together at most 1."
        )
    for other in others:
        _check_alike(encoder, other)
    states = [other.state_dict() for other in others]
    for name, weight in encoder.state_dict().items():
        if not weight.is_floating_point():
            continue
        total = (1 - sum(shares)) * weight.double()
        for state, share in zip(states, shares, strict=True):
            total += share * state[name].double()
        weight.copy_(total)


def _check_alike(encoder: TextEncoder, other: TextEncoder) -> None:
    names = f"{other.name or 'a model'} cannot be averaged with {encoder.name or 'the other'}"
    own, others = encoder.state_dict(), other.state_dict()
    if own.keys() != others.keys() or any(own[name].shape != others[name].shape for name in own):
        raise UserError(f"{names}: their weights have other names or sizes. Average models of one backbone.")
    if encoder.tokenizer.hf_tokenizer.get_vocab() != other.tokenizer.hf_tokenizer.get_vocab():
        raise UserError(f"{names}: their vocabularies differ. Average models of one backbone.")
    if (encoder.pooling, encoder.tokenizer.prefixes) != (other.pooling, other.tokenizer.prefixes):
        raise UserError(f"{names}: their pooling or prefixes differ. Average models that were used alike.")
