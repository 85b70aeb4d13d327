"""When two texts count as the same."""

import hashlib
import unicodedata
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

Hashes = npt.NDArray[np.uint64]
ABSENT = 0
"""The hash of a text that is not there."""


def normalise(text: str) -> str:
    """A text without differences of case, of white space and of Unicode's compatibility forms (NFKC)."""
    if not text.isascii():
        text = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return " ".join(text.casefold().split())


def text_hashes(texts: Iterable[str | None]) -> Hashes:
    """Hash of each text after `normalise`, uint64 (n,); `ABSENT` for None.

    Two different ones of 10 million texts share a hash with a probability of 3 in a million.
    """
    return np.fromiter((ABSENT if text is None else _hash(text) for text in texts), dtype=np.uint64)


def _hash(text: str) -> int:
    digest = hashlib.blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "little") or 1
