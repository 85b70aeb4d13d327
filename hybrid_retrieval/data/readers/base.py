"""What every reader of a parallel question-passage source gives to `ParallelCorpus`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True, slots=True)
class Row:
    """One question with its positive passage, in one language.

    Attributes:
        id: identifies the triple in every language: equal ids are translations of each other.
        question: the query text.
        passage: the text of the positive passage.
        passage_id: identifies the passage in every language. Two rows with one passage_id are never
            negatives of each other.
        negatives: passage ids of hard negatives, defined by other rows of the same source.
        split: the split the source itself states, or None to have one drawn by id.
    """

    id: str
    question: str
    passage: str
    passage_id: str
    negatives: tuple[str, ...] = ()
    split: Split | None = None


class Reader(Protocol):
    """A source of rows. Reading twice gives the same rows in the same order."""

    name: str

    def languages(self) -> list[str]:
        """ISO 639-1 codes this source has, sorted."""
        ...

    def fingerprint(self) -> str:
        """Hex digest of the content: equal for equal rows, different when any row changes."""
        ...

    def rows(self, language: str) -> Iterator[Row]:
        """Yield the rows of one language.

        Raises:
            UserError: a row is malformed; the message names file, line and reason.
        """
        ...
