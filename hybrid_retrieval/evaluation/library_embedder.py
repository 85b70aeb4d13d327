"""Embeddings by the sentence-transformers library, for models that `TextEncoder` cannot express."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.embedding_cache import (
    EmbeddingCache,
    cache_key,
    check_dtype,
    read_or_compute,
)
from hybrid_retrieval.evaluation.encode import device_of, encode_batches
from hybrid_retrieval.models.sentence_transformer import embedding_dimension, library_versions

if TYPE_CHECKING:
    from hybrid_retrieval.models.text_tokenizer import TextKind


class SentenceTransformerEmbedder:
    """Embeddings by the sentence-transformers library, for modules that `TextEncoder` does not have.

    `encode_query` and `encode_document` with the model's own prompts and lengths; L2-normalised where the
    model compares by cosine, as they are where it compares by inner product.

    Args:
        model: a `SentenceTransformer` (`models.sentence_transformer.load_sentence_transformer`).
        name: what metrics.json calls the model.
        fingerprint: of the model's files, for the key in the cache.
        batch_size: texts of a batch.
        cache, cache_gb, dtype, distributed: as for `EncoderEmbedder`.

    Raises:
        UserError: the model compares by a distance, or as for `EncoderEmbedder`.
    """

    def __init__(
        self,
        model: Any,
        *,
        name: str,
        fingerprint: str,
        batch_size: int = 32,
        cache: Path | None = None,
        cache_gb: float = 20.0,
        dtype: str = "float32",
        distributed: bool = False,
    ) -> None:
        if model.similarity_fn_name not in ("cosine", "dot"):
            raise UserError(
                f"model={name} compares embeddings by their {model.similarity_fn_name} distance; "
                "supported are cosine and dot (similarity_fn_name in config_sentence_transformers.json)."
            )
        self.model = model
        self.name = name
        self.fingerprint = fingerprint
        self.batch_size = batch_size
        self.dtype = check_dtype(dtype)
        self.cache = EmbeddingCache(cache, dtype=dtype, limit_gb=cache_gb) if cache else None
        self.distributed = distributed

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: "TextKind", *, title: str | None = None
    ) -> np.ndarray:
        """Embed texts, each distinct one once; the ids play no part."""
        encode = self.model.encode_query if kind == "query" else self.model.encode_document
        normalize = self.model.similarity_fn_name == "cosine"
        device = device_of(self.model)
        # What shares a batch must follow from the set of texts alone, not from their order.
        distinct = sorted(set(texts), key=lambda text: (-len(text), text))
        row_of = {text: row for row, text in enumerate(distinct)}
        starts = range(0, len(distinct), self.batch_size)
        batches = [slice(start, min(start + self.batch_size, len(distinct))) for start in starts]

        def embed(batch: slice) -> Tensor:
            embedded: Tensor = encode(
                distinct[batch],
                batch_size=self.batch_size,
                normalize_embeddings=normalize,
                convert_to_tensor=True,
                show_progress_bar=False,
            )
            return embedded.to(device).float()

        shape = (len(distinct), embedding_dimension(self.model))
        if not distinct:
            return np.empty(shape, dtype=np.float32)
        embeddings = read_or_compute(
            self.cache,
            lambda: cache_key(
                [self.fingerprint, kind, normalize, self.batch_size, device.type, library_versions()],
                [text.encode() for text in distinct],
            ),
            lambda: encode_batches(
                batches,
                embed,
                shape,
                device=device,
                sizes=[sum(map(len, distinct[batch])) for batch in batches],
                progress=title,
                distributed=self.distributed,
            ),
            shape,
            device=device,
            distributed=self.distributed,
        )
        rounded = embeddings.astype(self.dtype, copy=False).astype(np.float32, copy=False)
        return rounded[[row_of[text] for text in texts]]

    def alone(self) -> tuple[Embedder, str]:
        """The same model for this process alone, which keeps nothing, and its fingerprint."""
        plain = SentenceTransformerEmbedder(
            self.model, name=self.name, fingerprint=self.fingerprint, batch_size=self.batch_size
        )
        return plain, self.fingerprint
