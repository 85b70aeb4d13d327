"""64-bit hashes of texts, to find equal ones among millions in bounded memory."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.cleaning.normalise import normalise
from hybrid_retrieval.data.mapped_texts import BATCH_ROWS, MappedTexts
from hybrid_retrieval.data.progress import Bar
from hybrid_retrieval.sampling.triples import IntArray

HashArray = npt.NDArray[np.uint64]
MISSING = np.uint64(0)
"""The hash of a text that is not there; no text has it."""

_BATCHES_OPEN = 64  # pages of a file count as resident memory for as long as it is open


def mixed(values: HashArray) -> HashArray:
    """SplitMix64's finaliser (Steele et al., OOPSLA 2014): a permutation of the 64-bit integers."""
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def hash_texts(texts: Sequence[str | None]) -> HashArray:
    """Hash texts with Python's own hash (SipHash, PEP 456), whose key is another in every process.

    Returns:
        uint64 (n,), `MISSING` where a text is None; to be compared within one process.
    """
    # The length tells apart texts whose characters have 1 and 2 bytes in memory and are the same bytes.
    hashes = np.fromiter((hash(text) for text in texts), dtype=np.int64, count=len(texts))
    lengths = np.fromiter((-1 if t is None else len(t) for t in texts), dtype=np.int64, count=len(texts))
    both = mixed(hashes.view(np.uint64) + mixed((lengths + 1).view(np.uint64)))
    both[both == MISSING] = 1
    both[lengths < 0] = MISSING
    return both


def text_batches(path: Path) -> Iterator[tuple[int, list[str | None], int]]:
    """First row, texts and bytes of each record batch of a file of `write_texts`."""
    texts = MappedTexts(path)
    total = len(texts)
    for number, start in enumerate(range(0, total, BATCH_ROWS)):
        if number and number % _BATCHES_OPEN == 0:
            texts = MappedTexts(path)
        batch = texts.take(np.arange(start, min(start + BATCH_ROWS, total)))
        yield start, batch.to_pylist(), batch.nbytes


@dataclass(frozen=True)
class HashedTexts:
    """The texts of one kind in one language, by id.

    Attributes:
        exact: uint64 (ids,), hash of the text.
        normalised: uint64 (ids,), hash of the text after `normalise`.
        blank: int64 (n,), ids of texts without a letter or digit.
    """

    exact: HashArray
    normalised: HashArray
    blank: IntArray

    @classmethod
    def read(cls, path: Path, ids: int, bar: Bar) -> "HashedTexts":
        """Hash a file of texts; memory holds 16 bytes an id and a batch of texts.

        Args:
            path: a file of `write_texts`.
            ids: how many there are; those past the end of the file have no text.
            bar: advanced by the bytes of text read.
        """
        exact, folded = (np.full(ids, MISSING, dtype=np.uint64) for _ in range(2))
        blank: list[int] = []
        for start, texts, size in text_batches(path):
            rows = slice(start, start + len(texts))
            exact[rows] = hash_texts(texts)
            folded[rows] = hash_texts([None if text is None else normalise(text) for text in texts])
            blank += [
                start + row
                for row, text in enumerate(texts)
                if text is not None and not any(map(str.isalnum, text))
            ]
            bar.advance(size)
        return cls(exact, folded, np.array(blank, dtype=np.int64))

    def ids(self) -> IntArray:
        """Int64 (n,), the ids that have a text, ascending."""
        return np.flatnonzero(self.exact != MISSING)
