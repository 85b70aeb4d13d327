"""What an evaluation asks of a model: the embeddings of queries and of passages."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from hybrid_retrieval.evaluation.encode import encode_texts

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


class EncoderEmbedder:
    """Embeddings by an encoder, L2-normalised, so that the inner product is the cosine.

    Args:
        encoder: on the device to compute on.
        name: what metrics.json calls the model; None is the encoder's own name.
        token_budget: bound on the tokens of a batch, padding included.
    """

    def __init__(self, encoder: "TextEncoder", *, name: str | None = None, token_budget: int = 2048) -> None:
        self.encoder = encoder
        self.name = name or encoder.name
        self.token_budget = token_budget

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: "TextKind", *, title: str | None = None
    ) -> np.ndarray:
        """Embed texts; the ids play no part."""
        return encode_texts(self.encoder, texts, kind, token_budget=self.token_budget, progress=title)
