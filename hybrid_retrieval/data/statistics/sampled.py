"""What is measured on a sample of the texts: lengths in tokens and in characters, and their script."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.data.statistics.duplicates import EXAMPLES, Names
from hybrid_retrieval.data.statistics.scripts import other_script
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer
from hybrid_retrieval.sampling.triples import IntArray

QUANTILES = {"min": 0, "5%": 5, "25%": 25, "50%": 50, "75%": 75, "95%": 95, "max": 100}
"""Percent by name."""
_AT_ONCE = 1000


@dataclass(frozen=True)
class Lengths:
    """Lengths of some texts.

    Attributes:
        tokens: int64 (n,), special tokens and prefix included, before anything is cut.
        characters: int64 (n,).
    """

    tokens: IntArray
    characters: IntArray

    @classmethod
    def joined(cls, parts: Sequence["Lengths"]) -> "Lengths":
        """The lengths of all parts."""
        tokens, characters = (
            np.concatenate([np.empty(0, dtype=np.int64), *(getattr(part, name) for part in parts)])
            for name in ("tokens", "characters")
        )
        return cls(tokens, characters)

    def summary(self, limit: int) -> dict[str, Any]:
        """Quantiles of both.

        Args:
            limit: tokens after which a text is cut.

        Returns:
            `sampled`, `tokens` and `characters` (quantiles by the names in `QUANTILES`, None without texts),
            `limit` and `too_long`, the number of texts with more tokens.
        """
        return {
            "sampled": len(self.tokens),
            "tokens": quantiles(self.tokens),
            "characters": quantiles(self.characters),
            "limit": limit,
            "too_long": int((self.tokens > limit).sum()),
        }


def quantiles(values: IntArray) -> dict[str, int] | None:
    """The values at `QUANTILES`, each one that occurs; None if there are none."""
    return quantiles_of_counts(*np.unique(values, return_counts=True))


def quantiles_of_counts(values: IntArray, counts: IntArray) -> dict[str, int] | None:
    """The same of values that occur several times.

    Args:
        values: int64 (n,), ascending.
        counts: int64 (n,), how often each occurs, once or more.
    """
    if len(values) == 0:
        return None
    upto = np.cumsum(counts)
    return {
        name: int(values[np.searchsorted(upto, -(-percent * upto[-1] // 100))])
        for name, percent in QUANTILES.items()
    }


def evenly_spaced(total: int, count: int) -> IntArray:
    """`count` of the numbers below `total` in equal distances, all of them if there are no more."""
    return np.arange(total) if total <= count else np.arange(count) * total // count


def token_counts(tokenizer: TextTokenizer, texts: Sequence[str], kind: TextKind) -> list[int]:
    """Number of tokens of each text, special tokens and prefix included, uncut."""
    prefix = tokenizer.prefixes[kind]
    encoded = tokenizer.hf_tokenizer(
        [prefix + text for text in texts],
        return_attention_mask=False,
        return_token_type_ids=False,
        verbose=False,  # no warning of long texts
    )
    return [len(ids) for ids in encoded["input_ids"]]


def measure(  # noqa: PLR0917
    path: Path, ids: IntArray, kind: TextKind, language: str, tokenizer: TextTokenizer, names: Names
) -> tuple[Lengths, dict[str, Any]]:
    """Lengths and scripts of some texts of one language.

    Args:
        path: a file of `write_texts`.
        ids: int64 (n,), rows that have a text.
        kind: whether they are queries or passages.
        language: of the texts.
        tokenizer: whose tokens are counted.
        names: what the source calls ids.

    Returns:
        The lengths; and `count`, `scripts` (suspects by the code of their script) and `examples` of the texts
        whose script is not the language's, as `other_script` decides.
    """
    texts = MappedTexts(path)
    tokens, characters = [np.empty(0, dtype=np.int64)], [np.empty(0, dtype=np.int64)]
    suspects: list[tuple[int, str]] = []
    for start in range(0, len(ids), _AT_ONCE):
        rows = ids[start : start + _AT_ONCE]
        part = [str(text) for text in texts.take(rows).to_pylist()]
        tokens.append(np.array(token_counts(tokenizer, part, kind), dtype=np.int64))
        characters.append(np.array([len(text) for text in part], dtype=np.int64))
        found = ((row, other_script(text, language)) for row, text in zip(rows.tolist(), part, strict=True))
        suspects += [(row, script) for row, script in found if script is not None]
    scripts = Counter(script for _, script in suspects)
    finding = {
        "count": len(suspects),
        "scripts": dict(sorted(scripts.items(), key=lambda item: (-item[1], item[0]))),
        "examples": names([row for row, _ in suspects[:EXAMPLES]]),
    }
    return Lengths(np.concatenate(tokens), np.concatenate(characters)), finding
