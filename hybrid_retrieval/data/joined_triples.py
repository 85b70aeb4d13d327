"""The triples of a source with the numbers of the joined ids, in files that need not fit in memory.

The triples of `Reader` rows come from all languages. Rows with one id and one passage id are one triple,
which counts in the languages that have such a row. Rows with one id and different passages, of one language
or of several, are different triples with one query: each counts only in the languages whose rows name its
passage, so that a question is never paired with a passage that is no translation of the one in its own row.

The triples of an `IdSource` count in every language that has their query and their passage.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.ids import IdTable
from hybrid_retrieval.data.join import Joined
from hybrid_retrieval.data.readers.base import Ids, IdSource, Reader, TripleBatch
from hybrid_retrieval.data.spool import SPLIT_NUMBER, Spool, where
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.triples import BoolArray, IntArray

_HEADER = "triples.json"
MERGED_IDS = 1 << 20


@dataclass(frozen=True)
class TripleChunk:
    """Some triples, as numbers of `Joined`.

    Attributes:
        query: int64 (n,).
        positive: int64 (n,), passages.
        negatives: int64, passages, those of all triples one after another.
        negative_counts: int64 (n,).
        split: int8 (n,), position in `SPLITS`, -1 where the source states none.
        languages: bool (n, languages), where the query of each counts; None: wherever it has a text.
    """

    query: IntArray
    positive: IntArray
    negatives: IntArray
    negative_counts: IntArray
    split: npt.NDArray[np.int8]
    languages: BoolArray | None = None


class TripleFiles:
    """Triples in plain binary files, read in parts.

    Args:
        folder: of `write`.

    Attributes:
        negatives_each: hard negatives of every triple, or None where they differ in number.
        masked: whether `languages` was given.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        content = json.loads((folder / _HEADER).read_bytes())
        self._triples = int(content["triples"])
        self.negatives_each: int | None = content["negatives_each"]
        self.masked = bool(content["masked"])
        self._types: dict[str, str] = content["types"]

    @classmethod
    def write(cls, folder: Path, chunks: Iterable[TripleChunk], joined: Joined) -> "TripleFiles":
        """Write triples to an empty folder, holding one chunk in memory."""
        passage_type = small_int(len(joined.passages)).str
        types = {
            "query": small_int(len(joined.queries)).str,
            "positive": passage_type,
            "negatives": passage_type,
            "negative_counts": "<i4",
            "split": "|i1",
            "languages": "|b1",
        }
        files = {name: (folder / f"{name}.bin").open("wb") for name in types}
        triples, counts, masked = 0, set[int](), False
        try:
            for chunk in chunks:
                triples += len(chunk.query)
                counts |= set(np.unique(chunk.negative_counts).tolist())
                masked = chunk.languages is not None
                for name, file in files.items():
                    values = getattr(chunk, name)
                    if values is not None:
                        values.astype(types[name], copy=False).tofile(file)
        finally:
            for file in files.values():
                file.close()
        content = {
            "triples": triples,
            "negatives_each": counts.pop() if len(counts) == 1 else None,
            "masked": masked,
            "types": types,
        }
        (folder / _HEADER).write_text(json.dumps(content))
        return cls(folder)

    def __len__(self) -> int:
        return self._triples

    def column(self, name: str, start: int = 0, stop: int | None = None) -> npt.NDArray[Any]:
        """Entries of a file, copied into memory.

        Args:
            name: a field of `TripleChunk`.
            start: first entry.
            stop: the one after the last; None for the end of the file.
        """
        dtype = np.dtype(self._types[name])
        count = -1 if stop is None else stop - start
        path = self.folder / f"{name}.bin"
        return np.fromfile(path, dtype, count=count, offset=start * dtype.itemsize)

    def parts(self, size: int) -> Iterator[slice]:
        """Consecutive ranges of at most `size` triples."""
        for start in range(0, self._triples, size):
            yield slice(start, min(start + size, self._triples))


def small_int(count: int) -> np.dtype[Any]:
    """The integer type for numbers below `count`, and -1."""
    return np.dtype("<i4" if count <= 1 << 31 else "<i8")


def shared_triples(source: IdSource, joined: Joined, read: Callable[[int], object]) -> Iterator[TripleChunk]:
    """The triples that a source gives for all languages.

    Raises:
        UserError: one names a query or a passage that no language has, or its positive as a hard negative.
    """
    first = 1
    for batch, split in _merged(source.triples()):
        query = _known(joined.queries, batch.queries, "query", source, first)
        positive = _known(joined.passages, batch.positives, "passage", source, first)
        counts = np.diff(batch.negative_offsets)
        of_triple = np.repeat(np.arange(len(query)), counts)
        negatives = _known(joined.passages, batch.negatives, "passage", source, first, of_triple)
        own = np.flatnonzero(negatives == positive[of_triple])
        if len(own):
            raise UserError(
                f"{source.name}: triple {first + of_triple[own[0]]:,} has its own passage "
                f"{joined.passages.name(int(negatives[own[0]]))} among its negatives. Remove it there."
            )
        yield TripleChunk(query, positive, negatives, counts, split)
        first += len(query)
        read(batch.bytes_read)


def _merged(batches: Iterator[TripleBatch]) -> Iterator[tuple[TripleBatch, npt.NDArray[np.int8]]]:
    """Batches of string ids, which cost as much to look up as there are texts, put together to large ones.

    Yields:
        A batch, and int8 (n,) the position in `SPLITS` of each triple's split, -1 for none.
    """
    waiting: list[TripleBatch] = []
    ids = 0
    for batch in batches:
        waiting.append(batch)
        ids += 2 * len(batch.queries) + len(batch.negatives)
        if isinstance(batch.queries, np.ndarray) or ids >= MERGED_IDS:
            yield _one(waiting)
            waiting, ids = [], 0
    if waiting:
        yield _one(waiting)


def _one(batches: Sequence[TripleBatch]) -> tuple[TripleBatch, npt.NDArray[np.int8]]:
    numbers = [-1 if batch.split is None else SPLIT_NUMBER[batch.split] for batch in batches]
    split = np.repeat(np.array(numbers, dtype=np.int8), [len(batch.queries) for batch in batches])
    if len(batches) == 1:
        return batches[0], split
    counts = np.concatenate([np.diff(batch.negative_offsets) for batch in batches])
    merged = TripleBatch(
        [str(name) for batch in batches for name in batch.queries],
        [str(name) for batch in batches for name in batch.positives],
        [str(name) for batch in batches for name in batch.negatives],
        np.concatenate([[0], np.cumsum(counts)]),
        bytes_read=sum(batch.bytes_read for batch in batches),
    )
    return merged, split


def _known(  # noqa: PLR0917
    table: IdTable, ids: Ids, what: str, source: IdSource, first: int, of_triple: IntArray | None = None
) -> IntArray:
    positions = table.positions(ids)  # type: ignore[arg-type]
    missing = np.flatnonzero(positions < 0)
    if len(missing):
        at = int(missing[0]) if of_triple is None else int(of_triple[missing[0]])
        raise UserError(
            f"{source.name}: triple {first + at:,} names the {what} {ids[missing[0]]}, which is in no "
            f"language. Get the files of the {what} texts again, or remove the triple."
        )
    return positions


def row_triples(
    reader: Reader, languages: Sequence[str], spools: Sequence[Spool], joined: Joined
) -> TripleChunk:
    """The triples of the rows of all languages, in the order of their queries.

    Raises:
        UserError: rows of one id differ in split, or in negatives though they have one passage; or a hard
            negative is the passage of no row. The message names both.
    """
    of_rows = [spool.triples for spool in spools if spool.triples is not None]
    names = [joined.passages.positions(spool.passage_ids) for spool in spools]
    asked = [joined.queries.positions(spool.query_ids) for spool in spools]
    query = np.concatenate([number[rows.query] for number, rows in zip(asked, of_rows, strict=True)])
    positive = np.concatenate([name[rows.positive] for name, rows in zip(names, of_rows, strict=True)])
    negatives = np.concatenate([name[rows.negatives] for name, rows in zip(names, of_rows, strict=True)])
    counts = np.concatenate([np.diff(rows.negative_offsets) for rows in of_rows])
    starts = np.cumsum(counts) - counts
    split = np.concatenate([rows.split for rows in of_rows])
    language = np.repeat(np.arange(len(spools)), [len(rows.positive) for rows in of_rows])

    def contradiction(row: int, first: int, what: str) -> NoReturn:
        name = joined.queries.name(int(query[row]))
        here, there = languages[language[row]], languages[language[first]]
        raise UserError(
            f"{where(reader, here, name)}: row {name!r} in {here} differs in {what} from {there} "
            f"({where(reader, there, name)}). Rows of one id are translations of each other: make them "
            "agree, or give one of them another id."
        )

    _, first_of, triple = np.unique(
        query * len(joined.passages) + positive, return_index=True, return_inverse=True
    )
    twin = first_of[triple]  # the first row of the same triple
    _, first_row, of_query = np.unique(query, return_index=True, return_inverse=True)
    namesake = first_row[of_query]  # the first row of the same query
    differs = counts != counts[twin]
    compared = np.where(differs, 0, counts)
    entries = np.repeat(np.arange(len(query)), compared)
    within = np.arange(len(entries)) - np.repeat(np.cumsum(compared) - compared, compared)
    unequal = negatives[starts[entries] + within] != negatives[starts[twin[entries]] + within]
    differs[entries[unequal]] = True
    for row in np.flatnonzero(differs | (split != split[namesake]))[:1]:
        if differs[row]:
            contradiction(int(row), int(twin[row]), "negatives")
        contradiction(int(row), int(namesake[row]), "split")

    undefined = np.flatnonzero(~np.asarray(joined.has_passage.any(0))[negatives])
    if len(undefined):
        row = int(np.searchsorted(starts, undefined[0], side="right")) - 1
        name, code = joined.queries.name(int(query[row])), languages[language[row]]
        raise UserError(
            f"{where(reader, code, name)}: row {name!r} has the hard negative "
            f"{joined.passages.name(int(negatives[undefined[0]]))!r}, which is the passage_id of no row. Add "
            "a row that has it, or remove it from the negatives."
        )

    counted = np.zeros((len(first_of), len(spools)), dtype=np.bool_)
    counted[triple, language] = True
    kept = counts[first_of]
    taken = np.repeat(starts[first_of] - (np.cumsum(kept) - kept), kept) + np.arange(kept.sum())
    return TripleChunk(query[first_of], positive[first_of], negatives[taken], kept, split[first_of], counted)
