"""Texts that nearly repeat an earlier one, by the Jaccard similarity of their shingles.

Texts are taken in order. One is a near duplicate when its similarity to an earlier one that stays is at least
the threshold. Which pairs are compared is found by MinHash (Broder, 1997) with banding (Leskovec, Rajaraman
and Ullman, Mining of Massive Datasets, chapter 3): two texts whose `rows` least hashes agree in one of the
`bands`. The similarity of a pair that is compared is exact; a pair of similarity s is missed with probability
(1 - s^rows)^bands, which is below 0.5 % at the threshold and less above it. Whether a pair is compared
depends on its two texts alone, so what stays has no pair that would be found again.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from hybrid_retrieval.compiled import compiled_anew
from hybrid_retrieval.data.cleaning.grams import mixed
from hybrid_retrieval.data.cleaning.shingles import jaccard, shingles
from hybrid_retrieval.data.joined_triples import small_int
from hybrid_retrieval.data.mapped_texts import BATCH_ROWS
from hybrid_retrieval.sampling.triples import BoolArray, IntArray
from hybrid_retrieval.storage_errors import reserve

PERMUTATIONS = 128
MISSED = 0.005
_SEED = 0x5EED


def banding(threshold: float) -> tuple[int, int]:
    """Bands and rows of each: as many rows as `MISSED` allows, so that few pairs are compared in vain."""
    for rows in range(16, 1, -1):
        bands = PERMUTATIONS // rows
        if (1 - threshold**rows) ** bands < MISSED:
            return bands, rows
    return PERMUTATIONS, 1


def near_duplicates(
    batch: Callable[[IntArray], Sequence[str | None]],
    count: int,
    threshold: float,
    folder: Path,
    language: str,
) -> IntArray:
    """Which texts repeat an earlier one, and which.

    Memory holds, besides a batch, about 30 bytes a text, and 8 bytes a band for each text that shares a band
    with another; the hashes, and the shingles of these texts, lie in files.

    Args:
        batch: gives the texts at some positions in the order, int64.
        count: how many texts there are.
        threshold: of the similarity, in [0.5, 1].
        folder: an existing folder for files, which are removed again.
        language: ISO 639-1 code of the texts.

    Returns:
        int64 (count,), the position of an earlier text that stays and that each repeats, -1 for none.
    """
    bands, rows = banding(threshold)
    repeats = np.full(count, -1, dtype=np.int64)
    if count < 2:
        return repeats
    hashes, kept = folder / "bands.bin", folder / "shingles.bin"
    try:
        with hashes.open("w+b") as file:
            reserve(file, bands * count * np.dtype(np.uint32).itemsize)
            columns = np.memmap(file, dtype=np.uint32, mode="w+", shape=(bands, count))
        seeds = np.random.default_rng(_SEED).integers(2**63, size=bands * rows).astype(np.uint64)
        for positions in _batches(np.arange(count)):
            values, offsets = shingles(batch(positions), language)
            out = np.empty((len(positions), bands), dtype=np.uint32)
            _band_hashes(values, offsets, seeds, rows, out)
            columns[:, positions[0] : positions[-1] + 1] = out.T
        buckets, compared, numbered = _buckets(columns)
        if len(compared):
            offsets = _write_shingles(batch, compared, language, kept)
            values = np.memmap(kept, dtype=np.uint64, mode="r")
            entries = small_int(buckets.size)
            lists = np.full(numbered, -1, dtype=entries), np.empty(buckets.size, dtype=entries)
            of = _greedy(buckets, *lists, values, offsets, float(threshold))
            repeats[compared] = np.where(of < 0, -1, compared[of])
    finally:
        for path in (hashes, kept):
            path.unlink(missing_ok=True)
    return repeats


def _batches(positions: IntArray) -> Iterator[IntArray]:
    for start in range(0, len(positions), BATCH_ROWS):
        yield positions[start : start + BATCH_ROWS]


def _buckets(columns: np.ndarray) -> tuple[np.ndarray, IntArray, int]:
    """The texts that share a band with another, and the number of the bucket of each in each band.

    Returns:
        int32 (texts, bands), -1 where no other text has that band; int64 (texts,) their positions; and the
        number of buckets.
    """
    bands, count = columns.shape
    shares = np.zeros(count, dtype=np.bool_)
    for band in range(bands):
        shares |= _shared(np.asarray(columns[band]))[0]
    compared = np.flatnonzero(shares)
    buckets = np.full((len(compared), bands), -1, dtype=np.int32)
    numbered = 0
    for band in range(bands):
        shared, number = _shared(np.asarray(columns[band])[compared])
        buckets[shared, band] = number[shared] + numbered
        numbered += int(number.max(initial=-1)) + 1
    return buckets, compared, numbered


def _shared(column: np.ndarray) -> tuple[BoolArray, np.ndarray]:
    """Which entries occur more than once, and the number of each one's value."""
    order = np.argsort(column, kind="stable")
    ordered = column[order]
    new = np.ones(len(column), dtype=np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    number = np.empty(len(column), dtype=np.int32)
    number[order] = np.cumsum(new) - 1
    shared = np.empty(len(column), dtype=np.bool_)
    shared[order] = ~new | ~np.append(new[1:], True)
    return shared, number


def _write_shingles(
    batch: Callable[[IntArray], Sequence[str | None]], positions: IntArray, language: str, path: Path
) -> IntArray:
    """Write the shingles of some texts to a file; int64 (texts + 1,), where those of each begin."""
    starts = [np.zeros(1, dtype=np.int64)]
    with path.open("wb") as file:
        for part in _batches(positions):
            values, offsets = shingles(batch(part), language)
            starts.append(starts[-1][-1] + offsets[1:])
            values.tofile(file)
        if file.tell() == 0:  # nothing can be mapped of an empty file
            file.write(bytes(8))
    return np.concatenate(starts)


@compiled_anew
def _band_hashes(
    values: np.ndarray, offsets: np.ndarray, seeds: np.ndarray, rows: int, out: np.ndarray
) -> None:
    for text in range(len(offsets) - 1):
        for band in range(out.shape[1]):
            combined = np.uint64(band)
            for row in range(rows):
                seed = seeds[band * rows + row]
                least = np.uint64(0xFFFFFFFFFFFFFFFF)
                for at in range(offsets[text], offsets[text + 1]):
                    least = min(least, mixed(values[at] ^ seed))
                combined = mixed(combined ^ least) + np.uint64(0x9E3779B97F4A7C15)
            out[text, band] = np.uint32(combined >> np.uint64(32))


@compiled_anew
def _greedy(  # noqa: PLR0917 - Numba takes no keywords quickly
    buckets: np.ndarray,
    head: np.ndarray,  # of the list of a bucket's texts that stay
    following: np.ndarray,
    values: np.ndarray,
    offsets: np.ndarray,
    threshold: float,
) -> np.ndarray:
    texts, bands = buckets.shape
    repeats = np.full(texts, -1, dtype=np.int64)
    last_compared = np.full(texts, -1, dtype=np.int64)
    for text in range(texts):
        start, stop = offsets[text], offsets[text + 1]
        if start == stop:
            continue
        for band in range(bands):
            entry = np.int64(head[buckets[text, band]]) if buckets[text, band] >= 0 else np.int64(-1)
            while entry >= 0 and repeats[text] < 0:
                other = entry // bands
                if last_compared[other] != text:
                    last_compared[other] = text
                    first, end = offsets[other], offsets[other + 1]
                    fewer, more = min(stop - start, end - first), max(stop - start, end - first)
                    close = fewer >= threshold * more - 1e-9
                    if close and jaccard(values, start, stop, first, end) >= threshold:
                        repeats[text] = other
                entry = np.int64(following[entry])
            if repeats[text] >= 0:
                break
        if repeats[text] >= 0:
            continue
        for band in range(bands):
            bucket = buckets[text, band]
            if bucket >= 0:
                following[text * bands + band] = head[bucket]
                head[bucket] = text * bands + band
    return repeats
