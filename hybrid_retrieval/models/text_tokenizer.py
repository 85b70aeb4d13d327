"""Text to token ids, with the backbone's prefix for queries and passages."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

TextKind = Literal["query", "passage"]


class TextTokenizer:
    """Tokenises queries and passages; picklable, and needs no model.

    Args:
        tokenizer: a fast Hugging Face tokenizer with a padding token.
        prefixes: text put before every query and every passage, for example `query: `.
        max_length: number of tokens, special tokens and prefix included, after which a text is cut.
    """

    def __init__(
        self, tokenizer: Any, prefixes: Mapping[TextKind, str], max_length: Mapping[TextKind, int]
    ) -> None:
        if tokenizer.pad_token_id is None:
            raise ValueError("the tokenizer has no padding token")
        for kind, length in max_length.items():
            if length <= tokenizer.num_special_tokens_to_add():
                raise ValueError(f"max_{kind}_length={length} leaves no room for text")
        self.hf_tokenizer = tokenizer
        self.pad_id: int = int(tokenizer.pad_token_id)
        self.prefixes: dict[TextKind, str] = {"query": prefixes["query"], "passage": prefixes["passage"]}
        self.max_length: dict[TextKind, int] = {
            "query": max_length["query"],
            "passage": max_length["passage"],
        }

    def shortened(self, max_query_length: int | None, max_passage_length: int | None) -> "TextTokenizer":
        """The same tokenizer with smaller limits; None keeps a limit, a larger one has no effect."""
        asked: dict[TextKind, int | None] = {"query": max_query_length, "passage": max_passage_length}
        lengths = {kind: min(own, asked[kind] or own) for kind, own in self.max_length.items()}
        return TextTokenizer(self.hf_tokenizer, self.prefixes, lengths)

    def __call__(self, texts: Sequence[str], kind: TextKind) -> list[list[int]]:
        """Tokenise `texts` as queries or as passages.

        Returns:
            One list of token ids a text: special tokens and prefix included, cut to `max_length[kind]`,
            not padded.
        """
        if not texts:
            return []
        prefix = self.prefixes[kind]
        encoded = self.hf_tokenizer(
            [prefix + text for text in texts],
            truncation=True,
            max_length=self.max_length[kind],
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        ids: list[list[int]] = encoded["input_ids"]
        return ids
