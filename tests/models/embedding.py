"""Embed texts with an encoder in one padded batch."""

from collections.abc import Sequence

import torch

from hybrid_retrieval.data.length_buckets import pad
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.text_tokenizer import TextKind


def embed(encoder: TextEncoder, texts: Sequence[str], kind: TextKind = "query") -> torch.Tensor:
    with torch.no_grad():
        embeddings: torch.Tensor = encoder(*pad(encoder.tokenizer(texts, kind), encoder.tokenizer.pad_id))
    return embeddings
