"""Join the rows of all languages on their ids."""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

import numpy as np

from hybrid_retrieval.data.readers.base import Reader, Row
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.triples import BoolArray, IntArray


@runtime_checkable
class LocatingReader(Protocol):
    """A reader that can say where its rows stand."""

    def where(self, language: str, row_id: str) -> str:
        """File and lines of the rows with this id."""
        ...


@dataclass
class LanguageTexts:
    """The texts of one language, by query and by passage id."""

    query: dict[int, str] = field(default_factory=dict)
    passage: dict[int, str] = field(default_factory=dict)

    def queries(self) -> Iterator[str | None]:
        """The query texts in order of id, up to the last that exists; None for a gap."""
        return (self.query.get(row) for row in range(max(self.query, default=-1) + 1))

    def passages(self) -> Iterator[str | None]:
        """The passage texts, likewise."""
        return (self.passage.get(row) for row in range(max(self.passage, default=-1) + 1))


@dataclass(frozen=True)
class Joined:
    """The rows of all languages as integers.

    Attributes:
        row_ids: the source's id of each query.
        passage_ids: the source's id of each passage.
        positive: int64 (queries,), passage of each query.
        negatives: the hard negatives of each query, passages.
        split: the split each query's rows state, or None.
        has_query: bool (languages, queries), whether the language has the query.
        has_passage: bool (languages, passages), whether the language has the passage.
    """

    row_ids: list[str]
    passage_ids: list[str]
    positive: IntArray
    negatives: list[tuple[int, ...]]
    split: list[str | None]
    has_query: BoolArray
    has_passage: BoolArray


class Join:
    """Reads one language after another and numbers queries and passages in order of appearance.

    Args:
        reader: the source.
    """

    def __init__(self, reader: Reader) -> None:
        self._reader = reader
        self._query_of: dict[str, int] = {}
        self._passage_of: dict[str, int] = {}
        self._positive = array("q")
        self._negatives: list[tuple[int, ...]] = []
        self._split: list[str | None] = []
        self._first_language: list[str] = []
        self._present: list[tuple[IntArray, IntArray]] = []
        self.row_counts: dict[str, int] = {}

    def read(self, language: str) -> LanguageTexts:
        """Read and check the rows of a language.

        Raises:
            UserError: a row contradicts another; the message names both.
        """
        texts = LanguageTexts()
        for row in self._reader.rows(language):
            query = self._query(row, language)
            if query in texts.query:
                raise UserError(
                    f"{self._where(language, row.id)}: the id {row.id!r} occurs twice in {language}. "
                    "Give every row its own id, or remove the repeated row."
                )
            texts.query[query] = row.question
            passage = self._positive[query]
            if texts.passage.setdefault(passage, row.passage) != row.passage:
                other = next(
                    name
                    for name, number in self._query_of.items()
                    if number in texts.query and self._positive[number] == passage
                )
                raise UserError(
                    f"{self._where(language, row.id)}: row {row.id!r} gives passage_id {row.passage_id!r} "
                    f"another text than row {other!r} ({self._where(language, other)}). Give the passages "
                    "their own ids, or make the texts equal; with data=jsonl, "
                    "data.options.passage_variants=first takes the first text for both."
                )
        if not texts.query:
            raise UserError(
                f"{self._reader.name} has no rows in {language}. Add some, or leave {language} out of "
                "data.languages."
            )
        self.row_counts[language] = len(texts.query)
        self._present.append(
            (np.fromiter(texts.query, dtype=np.int64), np.fromiter(texts.passage, dtype=np.int64))
        )
        return texts

    def finish(self) -> Joined:
        """The joined rows.

        Raises:
            UserError: a hard negative that no row defines.
        """
        has_query = np.zeros((len(self._present), len(self._query_of)), dtype=np.bool_)
        has_passage = np.zeros((len(self._present), len(self._passage_of)), dtype=np.bool_)
        for column, (queries, passages) in enumerate(self._present):
            has_query[column, queries] = True
            has_passage[column, passages] = True
        passage_ids = list(self._passage_of)
        row_ids = list(self._query_of)
        undefined = set(np.flatnonzero(~has_passage.any(0)).tolist())
        if undefined:
            query, passage = next(
                (query, passage)
                for query, negatives in enumerate(self._negatives)
                for passage in negatives
                if passage in undefined
            )
            row_id = row_ids[query]
            raise UserError(
                f"{self._where(self._first_language[query], row_id)}: row {row_id!r} has the hard negative "
                f"{passage_ids[passage]!r}, which is the passage_id of no row. Add a row that has it, or "
                "remove it from the negatives."
            )
        return Joined(
            row_ids,
            passage_ids,
            np.array(self._positive, dtype=np.int64),
            self._negatives,
            self._split,
            has_query,
            has_passage,
        )

    def _query(self, row: Row, language: str) -> int:
        query = self._query_of.setdefault(row.id, len(self._query_of))
        passage = self._passage(row.passage_id)
        negatives = tuple(map(self._passage, row.negatives))
        if query == len(self._positive):
            if passage in negatives:
                raise UserError(
                    f"{self._where(language, row.id)}: row {row.id!r} has its own passage {row.passage_id!r} "
                    "among its negatives. Remove it there."
                )
            self._positive.append(passage)
            self._negatives.append(negatives)
            self._split.append(row.split)
            self._first_language.append(language)
            return query
        for what, here, there in (
            ("passage_id", passage, self._positive[query]),
            ("negatives", negatives, self._negatives[query]),
            ("split", row.split, self._split[query]),
        ):
            if here != there:
                first = self._first_language[query]
                raise UserError(
                    f"{self._where(language, row.id)}: row {row.id!r} in {language} differs in {what} from "
                    f"{first} ({self._where(first, row.id)}). Rows of one id are translations of each other: "
                    "make them agree, or give one of them another id."
                )
        return query

    def _passage(self, passage_id: str) -> int:
        return self._passage_of.setdefault(passage_id, len(self._passage_of))

    def _where(self, language: str, row_id: str) -> str:
        if isinstance(self._reader, LocatingReader):
            return self._reader.where(language, row_id)
        return f"{self._reader.name} ({language})"
