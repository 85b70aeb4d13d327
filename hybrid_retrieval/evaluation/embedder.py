"""What an evaluation asks of a model: the embeddings of queries and of passages."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hybrid_retrieval.evaluation.embedding_cache import (
    EmbeddingCache,
    check_dtype,
    encoder_fingerprint,
)
from hybrid_retrieval.evaluation.encode import device_of, encode_texts
from hybrid_retrieval.evaluation.precision import arithmetic

if TYPE_CHECKING:
    from hybrid_retrieval.models.encoder import TextEncoder
    from hybrid_retrieval.models.text_tokenizer import TextKind


class Embedder(Protocol):
    """Gives embeddings: an encoder, or files of embeddings made elsewhere."""

    @property
    def name(self) -> str:
        """What metrics.json calls the model."""
        ...

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: "TextKind", *, title: str | None = None
    ) -> np.ndarray:
        """Embed texts.

        Args:
            ids: one a text, unique among the texts of a kind.
            texts: in any order and with any repeats.
            kind: "query" or "passage", which decides the prefix and the greatest length.
            title: what to call these texts in a progress bar; None shows none.

        Returns:
            float32 (texts, dimension), whose inner products are the scores.

        Raises:
            UserError: there is no embedding of an id, or the files do not fit.
        """
        ...

    def alone(self) -> "tuple[Embedder, str]":
        """The same model for this process alone, which keeps nothing, and what names all that decides it.

        For corpora, whose embeddings are shared out and kept as shards.
        """
        ...


class EncoderEmbedder:
    """Embeddings by an encoder, L2-normalised, so that the inner product is the cosine.

    Args:
        encoder: on the device to compute on.
        name: what metrics.json calls the model; None is the encoder's own name.
        token_budget: bound on the tokens of a batch, padding included.
        cache: folder of an `EmbeddingCache`; None keeps nothing.
        cache_gb: bound on all files of the cache, in 10^9 bytes.
        dtype: "float32", or "float16": embeddings are rounded to it, and take half the disk in the cache.
        precision: "float32" or "bfloat16", in which the encoder computes; "auto" is bfloat16 on a GPU only.
        distributed: whether all processes of torch's process group make the same calls; each encodes a share.

    Raises:
        UserError: another dtype, or a bound on the cache that is not positive.
    """

    def __init__(
        self,
        encoder: "TextEncoder",
        *,
        name: str | None = None,
        token_budget: int = 2048,
        cache: Path | None = None,
        cache_gb: float = 20.0,
        dtype: str = "float32",
        precision: str = "auto",
        distributed: bool = False,
    ) -> None:
        self.encoder = encoder
        self.name = name or encoder.name
        self.token_budget = token_budget
        self.dtype = check_dtype(dtype)
        self.cache = EmbeddingCache(cache, dtype=dtype, limit_gb=cache_gb) if cache else None
        self.precision = precision
        self.distributed = distributed

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: "TextKind", *, title: str | None = None
    ) -> np.ndarray:
        """Embed texts; the ids play no part."""
        embeddings = encode_texts(
            self.encoder,
            texts,
            kind,
            token_budget=self.token_budget,
            precision=self.precision,
            progress=title,
            cache=self.cache,
            distributed=self.distributed,
        )
        return embeddings.astype(self.dtype, copy=False).astype(np.float32, copy=False)

    def alone(self) -> tuple[Embedder, str]:
        """The same model for this process alone, which keeps nothing, and its fingerprint."""
        plain = EncoderEmbedder(
            self.encoder, name=self.name, token_budget=self.token_budget, precision=self.precision
        )
        dtype = arithmetic(self.precision, device_of(self.encoder))
        return plain, encoder_fingerprint(self.encoder, dtype=dtype)
