"""The n-grams of benchmarks, and which texts share enough of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.compiled import compiled
from hybrid_retrieval.data.cleaning.grams import HashArray, Units

MOST = 255
_ABSENT = np.int64(-1)


@dataclass(frozen=True)
class TextGrams:
    """The grams of some texts of one benchmark.

    Attributes:
        hashes: uint64 (grams,).
        need: uint8 (grams,): how many grams to share with the text that it is of.
        text: int32 (grams,), the number of that text.
    """

    hashes: HashArray
    need: npt.NDArray[np.uint8]
    text: npt.NDArray[np.int32]

    @classmethod
    def of(cls, grams: Units, shared: int, texts: npt.NDArray[np.int32]) -> Self:
        """The different grams of each text.

        Args:
            grams: of `text_grams`.
            shared: grams to share, at most 255; all of them for a text that has fewer.
            texts: int32 (texts,), their numbers.
        """
        hashes, need, row = _distinct(grams.hashes, grams.offsets, shared)
        return cls(hashes, need, texts[row])

    @classmethod
    def joined(cls, parts: Sequence["TextGrams"]) -> Self:
        """The grams of several groups of texts of a benchmark."""
        return cls(
            np.concatenate([np.empty(0, dtype=np.uint64), *(of.hashes for of in parts)]),
            np.concatenate([np.empty(0, dtype=np.uint8), *(of.need for of in parts)]),
            np.concatenate([np.empty(0, dtype=np.int32), *(of.text for of in parts)]),
        )


@dataclass(frozen=True)
class GramTable:
    """Sorted hashes of grams, looked up by their leading bits.

    Attributes:
        hashes: uint64 (grams,), ascending, all different.
        need: uint8 (grams, benchmarks): how many grams a text with this gram must share, at the least of the
            benchmark's texts that have it; 0 where none has it.
        text: int32 (grams, benchmarks): a text of the benchmark that has the gram; -1 where none has it.
        starts: uint32 (2^bits + 1,): hashes with the leading bits b are `hashes[starts[b]:starts[b + 1]]`.
        shift: 64 - bits.
    """

    hashes: HashArray
    need: npt.NDArray[np.uint8]
    text: npt.NDArray[np.int32]
    starts: npt.NDArray[np.uint32]
    shift: np.uint64

    @classmethod
    def of(cls, benchmarks: Sequence[TextGrams]) -> Self:
        """The table of the grams of benchmarks."""
        hashes = np.unique(TextGrams.joined(benchmarks).hashes)
        need = np.zeros((len(hashes), len(benchmarks)), dtype=np.uint8)
        text = np.full((len(hashes), len(benchmarks)), -1, dtype=np.int32)
        for number, of in enumerate(benchmarks):
            order = np.lexsort((of.text, of.need))[::-1]  # the least need is written last
            rows = np.searchsorted(hashes, of.hashes[order])
            need[rows, number] = of.need[order]
            text[rows, number] = of.text[order]
        bits = max(4, len(hashes).bit_length())
        shift = np.uint64(64 - bits)
        edges = np.arange(1 << bits, dtype=np.uint64) << shift
        starts = np.append(np.searchsorted(hashes, edges), len(hashes)).astype(np.uint32)
        return cls(hashes, need, text, starts, shift)

    def found(self, grams: Units, shared: int) -> npt.NDArray[np.bool_]:
        """Which texts share enough grams with which benchmarks; bool (texts, benchmarks).

        Arguments are those of `TextGrams.of`. A text shares enough if it shares all its grams, or as many as
        any of the benchmark's texts needs that has one of them.
        """
        found: npt.NDArray[np.bool_] = _found(
            grams.hashes, grams.offsets, shared, self.hashes, self.need, self.starts, self.shift
        )
        return found

    def row(self, gram: np.uint64) -> int:
        """The place of a gram in the table, -1 if it is not there."""
        return int(_find(gram, self.hashes, self.starts, self.shift))


@compiled
def _distinct(
    grams: HashArray, offsets: npt.NDArray[np.int64], shared: int
) -> tuple[HashArray, npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    hashes = np.empty(len(grams), dtype=np.uint64)
    need = np.empty(len(grams), dtype=np.uint8)
    row = np.empty(len(grams), dtype=np.int64)
    count = 0
    for text in range(len(offsets) - 1):
        of_text = np.unique(grams[offsets[text] : offsets[text + 1]])
        end = count + len(of_text)
        hashes[count:end] = of_text
        need[count:end] = min(shared, len(of_text))
        row[count:end] = text
        count = end
    return hashes[:count].copy(), need[:count].copy(), row[:count].copy()


@compiled
def _find(gram: np.uint64, hashes: HashArray, starts: npt.NDArray[np.uint32], shift: np.uint64) -> np.int64:
    bucket = np.int64(gram >> shift)
    for i in range(starts[bucket], starts[bucket + 1]):
        if hashes[i] == gram:
            return np.int64(i)
    return _ABSENT


@compiled
def _found(  # noqa: PLR0917 - Numba takes no keywords quickly
    grams: HashArray,
    offsets: npt.NDArray[np.int64],
    shared: int,
    hashes: HashArray,
    need: npt.NDArray[np.uint8],
    starts: npt.NDArray[np.uint32],
    shift: np.uint64,
) -> npt.NDArray[np.bool_]:
    benchmarks = need.shape[1]
    found = np.zeros((len(offsets) - 1, benchmarks), dtype=np.bool_)
    rows = np.empty(len(grams), dtype=np.int64)
    for text in range(len(offsets) - 1):
        of_text = grams[offsets[text] : offsets[text + 1]]
        count = 0
        for gram in of_text:
            row = _find(gram, hashes, starts, shift)
            if row != _ABSENT:
                rows[count] = row
                count += 1
        if count == 0:
            continue
        enough = min(shared, len(np.unique(of_text)))
        distinct = np.unique(rows[:count])
        for benchmark in range(benchmarks):
            sharing, needed = 0, enough
            for row in distinct:
                if need[row, benchmark] > 0:
                    sharing += 1
                    needed = min(needed, int(need[row, benchmark]))
            found[text, benchmark] = sharing > 0 and sharing >= needed
    return found
