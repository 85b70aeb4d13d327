"""What a source gives to `ParallelCorpus`: rows of question and passage, or texts and triples by id."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from hybrid_retrieval.data.file_hashes import HashFile, sha256_of

Split = Literal["train", "validation", "test"]
Ids = npt.NDArray[np.int64] | Sequence[str]
"""Ids of queries or of passages: integers, or strings; one source has one of the two."""


@dataclass(frozen=True, slots=True)
class Row:
    """One question with its positive passage, in one language.

    Attributes:
        id: identifies the question in every language: questions of equal ids are translations of each other.
            Rows of one language with one id and different passage ids are one question with several
            positives, never negatives of each other.
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

    def fingerprint(self, hash_file: HashFile = sha256_of) -> str:
        """Hex digest of the content: equal for equal files, wherever they lie; another when any row changes.

        Args:
            hash_file: hex digest of a file.
        """
        ...

    def rows(self, language: str) -> Iterator[Row]:
        """Yield the rows of one language.

        Raises:
            UserError: a row is malformed; the message names file, line and reason.
        """
        ...


@dataclass(frozen=True, slots=True)
class TextBatch:
    """Some queries, or some passages, of one language.

    Attributes:
        ids: (n,), each once in a language.
        texts: (n,), strings, or an Arrow array of strings.
        bytes_read: bytes of the source that were read for them, for the progress bar.
    """

    ids: Ids
    texts: Sequence[str] | pa.Array
    bytes_read: int = 0


@dataclass(frozen=True, slots=True)
class TripleBatch:
    """Some triples, shared by all languages.

    Attributes:
        queries: (n,).
        positives: (n,), passages.
        negatives: passages, the hard negatives of all triples, one after another.
        negative_offsets: int64 (n + 1,), where those of each triple start.
        split: the split the source itself states for all of them, or None to have one drawn by id.
        bytes_read: as in `TextBatch`.
    """

    queries: Ids
    positives: Ids
    negatives: Ids
    negative_offsets: npt.NDArray[np.int64]
    split: Split | None = None
    bytes_read: int = 0


@runtime_checkable
class IdSource(Protocol):
    """A source of texts by id, one collection a language, with one list of triples for all languages.

    For sources that are too large for `Reader`: no text is ever in memory but the batch's, and a passage is
    stored once however many triples name it. Picklable: languages are read in processes of their own.
    """

    name: str

    def languages(self) -> list[str]:
        """ISO 639-1 codes this source has, sorted."""
        ...

    def fingerprint(self, languages: Sequence[str], hash_file: HashFile) -> str:
        """Hex digest of the content in some languages; fetches their files where they must be fetched.

        Args:
            languages: sorted.
            hash_file: hex digest of a file.
        """
        ...

    def source_bytes(self, language: str | None) -> int:
        """Size of what is read for a language, or for the triples where it is None."""
        ...

    def queries(self, language: str) -> Iterator[TextBatch]:
        """Yield the queries of a language, in any order.

        Raises:
            UserError: the file is malformed; the message names file, line and reason.
        """
        ...

    def passages(self, language: str) -> Iterator[TextBatch]:
        """Yield the passages of a language, likewise."""
        ...

    def triples(self) -> Iterator[TripleBatch]:
        """Yield the triples; each query and passage that they name is in some language.

        A triple counts in every language that has its query and its passage, and across those that have one
        of them: texts of one id must be translations of each other.

        Raises:
            UserError: as `queries`.
        """
        ...
