"""The texts of one language as its source gives them, written to a folder before the languages are joined.

queries.arrow, passages.arrow     texts, in the order of the source
query_ids.{npy,arrow}             the id of each query text
passage_ids.{npy,arrow}           the id of each passage text; of rows: all ids, in the order they are named
rows.npz                          of rows only: `passage_rows`, int64 (texts,), which of `passage_ids` each
                                  passage text has; and the triples of the rows, see `RowTriples`
"""

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.ids import IdColumn, read_ids, write_ids
from hybrid_retrieval.data.mapped_texts import BATCH_ROWS, TextWriter
from hybrid_retrieval.data.parallel import SPLITS
from hybrid_retrieval.data.readers.base import Ids, IdSource, Reader, TextBatch
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.triples import IntArray

SPLIT_NUMBER = {split: number for number, split in enumerate(SPLITS)}
_ROWS = "rows.npz"


@runtime_checkable
class LocatingReader(Protocol):
    """A reader that can say where its rows stand."""

    def where(self, language: str, row_id: str) -> str:
        """File and lines of the rows with this id."""
        ...


def where(source: Reader | IdSource, language: str, row_id: str) -> str:
    """Where a row or a query stands, as far as its source can say."""
    if isinstance(source, LocatingReader):
        return source.where(language, row_id)
    return f"{source.name} ({language})"


@dataclass(frozen=True)
class RowTriples:
    """One triple a row of a language.

    Attributes:
        query: int64 (rows,), position among `query_ids`.
        positive: int64 (rows,), position among `passage_ids` of the positive of each query.
        negatives: int64, positions of the hard negatives of all rows, one after another.
        negative_offsets: int64 (rows + 1,).
        split: int8 (rows,), position in `SPLITS`, -1 where the row states none.
    """

    query: IntArray
    positive: IntArray
    negatives: IntArray
    negative_offsets: IntArray
    split: npt.NDArray[np.int8]


@dataclass(frozen=True)
class Spool:
    """The ids of a language that was written.

    Attributes:
        folder: where it lies.
        query_ids: of the query texts.
        passage_ids: of the passage texts, or all that the rows name.
        passage_rows: int64 (texts,), position in `passage_ids` of each passage text; None: one after another.
        triples: of rows; None where all languages share the triples.
    """

    folder: Path
    query_ids: IdColumn
    passage_ids: IdColumn
    passage_rows: IntArray | None
    triples: RowTriples | None

    @classmethod
    def open(cls, folder: Path) -> "Spool":
        """Open what `spool_language` wrote."""
        query_ids, passage_ids = (read_ids(folder / name) for name in ("query_ids", "passage_ids"))
        if not (folder / _ROWS).exists():
            return cls(folder, query_ids, passage_ids, None, None)
        with np.load(folder / _ROWS, allow_pickle=False) as stored:
            triples = RowTriples(
                *(stored[name] for name in ("query", "positive", "negatives", "negative_offsets", "split"))
            )
            return cls(folder, query_ids, passage_ids, stored["passage_rows"], triples)


def spool_language(
    source: Reader | IdSource, language: str, folder: Path, read: Callable[[int], object]
) -> None:
    """Write the texts of a language, holding one batch of them in memory, and all its ids.

    Args:
        source: of rows, or of texts by id.
        language: ISO 639-1 code.
        folder: an empty folder.
        read: called with numbers of bytes that were read; not for rows.

    Raises:
        UserError: a text is malformed; an id of a text occurs twice, or that of a row with the same passage
            or another question; a passage id has two texts, a row has its own passage among its negatives,
            or the language has none.
    """
    if isinstance(source, IdSource):
        for stem, ids, batches in (
            ("queries", "query_ids", source.queries(language)),
            ("passages", "passage_ids", source.passages(language)),
        ):
            found = _write_texts(folder / f"{stem}.arrow", batches, read)
            _check_distinct(found, source, language, stem)
            write_ids(folder / ids, found)
    else:
        _spool_rows(source, language, folder)


def _write_texts(path: Path, batches: Iterator[TextBatch], read: Callable[[int], object]) -> Ids:
    integers: list[IntArray] = []
    strings: list[str] = []
    with TextWriter(path) as writer:
        for batch in batches:
            if len(batch.ids) != len(batch.texts):
                raise ValueError(f"{len(batch.ids)} ids of {len(batch.texts)} texts")
            writer.write(batch.texts)
            if isinstance(batch.ids, np.ndarray):
                integers.append(batch.ids)
            else:
                strings += batch.ids
            read(batch.bytes_read)
    return np.concatenate(integers) if integers else strings


def _check_distinct(ids: Ids, source: IdSource, language: str, what: str) -> None:
    if not len(ids):
        raise UserError(
            f"{source.name} has no {what} in {language}. Add some, or leave {language} out of data.languages."
        )
    repeated: int | str | None = None
    if isinstance(ids, np.ndarray):
        if (ids[1:] <= ids[:-1]).any():
            ascending = np.sort(ids)
            twice = ascending[1:][ascending[1:] == ascending[:-1]]
            repeated = int(twice[0]) if len(twice) else None
    elif len(set(ids)) < len(ids):
        seen = set[str]()
        repeated = next(i for i in ids if i in seen or seen.add(i))  # type: ignore[func-returns-value]
    if repeated is not None:
        raise UserError(
            f"{where(source, language, str(repeated))}: the id {repeated} occurs twice among the {what} in "
            f"{language}. Remove the repeated line."
        )


def _spool_rows(reader: Reader, language: str, folder: Path) -> None:
    queries: dict[str, int] = {}
    passages: dict[str, int] = {}
    text_hash: dict[int, int] = {}  # of the passages that have a text, in the order of the file
    asked, first = array("q"), array("q")  # hash of each question, and its first positive
    others: set[tuple[int, int]] = set()  # queries with their further positives
    query, positive, negatives, offsets, split = (array(code) for code in "qqqqb")
    offsets.append(0)
    with (
        _RowWriter(folder / "queries.arrow") as query_texts,
        _RowWriter(folder / "passages.arrow") as passage_texts,
    ):
        for row in reader.rows(language):
            number = queries.setdefault(row.id, len(queries))
            passage = passages.setdefault(row.passage_id, len(passages))
            if number == len(asked):
                asked.append(hash(row.question))
                first.append(passage)
                query_texts.append(row.question)
            elif first[number] == passage or (number, passage) in others:
                raise UserError(
                    f"{where(reader, language, row.id)}: the id {row.id!r} occurs twice in {language} with "
                    f"the passage {row.passage_id!r}. Give every row its own id, or remove the repeated row; "
                    "rows of one id and different passage ids are one question with several positives."
                )
            elif asked[number] != hash(row.question):
                raise UserError(
                    f"{where(reader, language, row.id)}: the id {row.id!r} occurs twice in {language} with "
                    "different questions. Give every question its own id, or make the questions equal."
                )
            else:
                others.add((number, passage))
            own = [passages.setdefault(name, len(passages)) for name in row.negatives]
            if passage in own:
                raise UserError(
                    f"{where(reader, language, row.id)}: row {row.id!r} has its own passage "
                    f"{row.passage_id!r} among its negatives. Remove it there."
                )
            digest = hash(row.passage)
            if passage not in text_hash:
                text_hash[passage] = digest
                passage_texts.append(row.passage)
            elif text_hash[passage] != digest:
                other = list(queries)[query[positive.index(passage)]]
                raise UserError(
                    f"{where(reader, language, row.id)}: row {row.id!r} gives passage_id {row.passage_id!r} "
                    f"another text than row {other!r} ({where(reader, language, other)}). Give the passages "
                    "their own ids, or make the texts equal; with data=jsonl, "
                    "data.options.passage_variants=first takes the first text for both."
                )
            query.append(number)
            positive.append(passage)
            negatives.extend(own)
            offsets.append(len(negatives))
            split.append(-1 if row.split is None else SPLIT_NUMBER[row.split])
    if not queries:
        raise UserError(
            f"{reader.name} has no rows in {language}. Add some, or leave {language} out of data.languages."
        )
    write_ids(folder / "query_ids", list(queries))
    write_ids(folder / "passage_ids", list(passages))
    np.savez(
        folder / _ROWS,
        passage_rows=np.fromiter(text_hash, dtype=np.int64, count=len(text_hash)),
        query=np.array(query, dtype=np.int64),
        positive=np.array(positive, dtype=np.int64),
        negatives=np.array(negatives, dtype=np.int64),
        negative_offsets=np.array(offsets, dtype=np.int64),
        split=np.array(split, dtype=np.int8),
    )


class _RowWriter(TextWriter):
    """A `TextWriter` of single texts."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self._texts: list[str] = []

    def __exit__(self, failed: type[BaseException] | None, *rest: object) -> None:
        if failed is None:
            self.write(self._texts)
        super().__exit__(failed, *rest)

    def append(self, text: str) -> None:
        self._texts.append(text)
        if len(self._texts) == BATCH_ROWS:
            self.write(self._texts)
            self._texts = []
