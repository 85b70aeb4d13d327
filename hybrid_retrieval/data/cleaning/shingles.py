"""The shingles of a text as hashes, and their Jaccard similarity.

A shingle is `WORDS` consecutive words, or, in languages without spaces between words, as many characters as
translate these; a text with fewer is one shingle. Words are those of `data.cleaning.grams`, without case and
punctuation. A shingle counts once in a text.
"""

from collections.abc import Sequence

import numpy as np

from hybrid_retrieval.compiled import compiled
from hybrid_retrieval.data.cleaning.grams import HashArray, gram_length, spaceless, text_grams, units_of
from hybrid_retrieval.sampling.triples import IntArray

WORDS = 5


def shingles(texts: Sequence[str | None], language: str) -> tuple[HashArray, IntArray]:
    """The different shingles of each text, as hashes in ascending order.

    Args:
        texts: (n,); None has none.
        language: ISO 639-1 code.

    Returns:
        uint64, those of all texts one after another; and int64 (n + 1,), where those of each begin.
    """
    units = units_of(texts, characters=spaceless(language))
    grams, starts = text_grams(units, gram_length(language, WORDS))
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    _make_distinct(grams, starts, offsets)
    return grams[: offsets[-1]], offsets


@compiled
def _make_distinct(grams: HashArray, starts: IntArray, offsets: IntArray) -> None:
    """Sort the grams of each text and move the different ones together, in place."""
    written = 0
    for text in range(len(starts) - 1):
        ordered = np.sort(grams[starts[text] : starts[text + 1]])
        for position in range(len(ordered)):
            if position == 0 or ordered[position] != ordered[position - 1]:
                grams[written] = ordered[position]
                written += 1
        offsets[text + 1] = written


@compiled
def jaccard(values: HashArray, start: int, stop: int, other: int, other_stop: int) -> float:
    """Jaccard similarity of two ranges of `values`, each ascending and without repetition."""
    together = (stop - start) + (other_stop - other)
    common = 0
    while start < stop and other < other_stop:
        if values[start] == values[other]:
            common += 1
            start += 1
            other += 1
        elif values[start] < values[other]:
            start += 1
        else:
            other += 1
    return common / (together - common)
