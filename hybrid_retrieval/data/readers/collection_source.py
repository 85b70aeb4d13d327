"""A source of judged collections: queries, passages, and which of them belong together."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np

from hybrid_retrieval.data.file_hashes import HashFile
from hybrid_retrieval.data.readers.base import Split, TextBatch, TripleBatch
from hybrid_retrieval.data.readers.input_file import check_input
from hybrid_retrieval.errors import UserError

_ROWS_AT_ONCE = 2048
Item = TypeVar("Item")


class IdText(NamedTuple):
    """A query or a passage."""

    id: str
    text: str


class Judged(NamedTuple):
    """A query with its relevant and its other judged passages, by id.

    `split` is what the source states, or None.
    """

    query: str
    positives: Sequence[str]
    negatives: Sequence[str]
    split: Split | None


@dataclass(frozen=True)
class Collection:
    """The part of a source that is in one language; all functions must be picklable.

    Attributes:
        files: all that is read for it.
        queries: yields each query.
        passages: yields each passage; of passages with one id, the first counts.
        judged: yields the judged queries; a query without a relevant passage is passed over.
    """

    files: tuple[Path, ...]
    queries: Callable[[], Iterator[IdText]]
    passages: Callable[[], Iterator[IdText]]
    judged: Callable[[], Iterator[Judged]]


class CollectionSource:
    """An `IdSource` of collections, one a language.

    There is a triple for each relevant passage of a query, whose hard negatives are the query's other judged
    passages.

    Args:
        name: of the data set.
        kind: of the source, with a version.
        languages: those that it has.
        collect: finds, and downloads where need be, the collections of some languages.
        options: what the content depends on besides the files.
        one_process: whether its languages are read one after another, as a source needs that keeps what it
            learnt of the last.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        languages: Sequence[str],
        collect: Callable[[Sequence[str]], Mapping[str, Collection]],
        options: Mapping[str, object] | None = None,
        *,
        one_process: bool = False,
    ) -> None:
        self.name = name
        self.one_process = one_process
        self._kind = kind
        self._languages = sorted(languages)
        self._collect = collect
        self._options = dict(options or {})
        self._collections: Mapping[str, Collection] = {}

    def languages(self) -> list[str]:
        """ISO 639-1 codes this source has, sorted."""
        return list(self._languages)

    def fingerprint(self, languages: Sequence[str], hash_file: HashFile) -> str:
        """Hex digest of the options and the files of some languages, which are fetched where they must be.

        Raises:
            UserError: a file is missing, or the hub cannot be reached.
        """
        self._collections = self._collect(languages)
        digest = hashlib.sha256(json.dumps([self._kind, self._options, list(languages)]).encode())
        for file in self._files(None):
            check_input(file)
            digest.update(hash_file(file).encode())
        return digest.hexdigest()

    def source_bytes(self, language: str | None) -> int:
        """Size of a language's files, or of all of them."""
        return sum(file.stat().st_size for file in self._files(language))

    def queries(self, language: str) -> Iterator[TextBatch]:
        """Yield the queries of a language."""
        yield from _text_batches(self._collections[language].queries())

    def passages(self, language: str) -> Iterator[TextBatch]:
        """Yield the passages of a language."""
        yield from _text_batches(_distinct(self._collections[language].passages()))

    def triples(self) -> Iterator[TripleBatch]:
        """Yield the triples of the languages that were fingerprinted, each once, by its first language."""
        seen: set[tuple[str, str]] | None = set() if len(self._collections) > 1 else None
        for collection in self._collections.values():
            for part in _batched(_first_triples(collection.judged(), seen)):
                for split in dict.fromkeys(split for split, *_ in part):
                    yield _triple_batch([triple for triple in part if triple[0] == split], split)

    def _files(self, language: str | None) -> list[Path]:
        chosen = [self._collections[language]] if language is not None else self._collections.values()
        return list(dict.fromkeys(file for collection in chosen for file in collection.files))


Triple = tuple[Split | None, str, str, list[str]]


def _first_triples(judged: Iterator[Judged], seen: set[tuple[str, str]] | None) -> Iterator[Triple]:
    """The triples of judged queries; with `seen`, those of no earlier language, which are added to it."""
    for query, positives, negatives, split in judged:
        relevant = dict.fromkeys(positives)
        others = [passage for passage in dict.fromkeys(negatives) if passage not in relevant]
        for positive in relevant:
            if seen is not None:
                if (query, positive) in seen:
                    continue
                seen.add((query, positive))
            yield split, query, positive, others


def _triple_batch(triples: Sequence[Triple], split: Split | None) -> TripleBatch:
    return TripleBatch(
        queries=[query for _, query, _, _ in triples],
        positives=[positive for _, _, positive, _ in triples],
        negatives=[passage for _, _, _, negatives in triples for passage in negatives],
        negative_offsets=np.cumsum([0, *(len(negatives) for *_, negatives in triples)], dtype=np.int64),
        split=split,
    )


def _distinct(passages: Iterator[IdText]) -> Iterator[IdText]:
    seen: set[str] = set()
    for passage in passages:
        if passage.id not in seen:
            seen.add(passage.id)
            yield passage


def _text_batches(texts: Iterator[IdText]) -> Iterator[TextBatch]:
    for part in _batched(texts):
        size = sum(len(one.text) for one in part)
        yield TextBatch([one.id for one in part], [one.text for one in part], size)


def _batched(items: Iterator[Item]) -> Iterator[list[Item]]:
    while part := list(islice(items, _ROWS_AT_ONCE)):
        yield part


def titled(title: str, text: str) -> str:
    """Title and text of a passage, as MIRACL's and BEIR's baselines join them."""
    return f"{title} {text}".strip()


def chosen_languages(available: Sequence[str], languages: Sequence[str] | None, name: str) -> list[str]:
    """The languages wanted.

    Raises:
        UserError: one is not available.
    """
    missing = sorted(set(languages or ()) - set(available))
    if missing:
        raise UserError(
            f"{name} has no data in {', '.join(missing)}: it has {', '.join(sorted(available))}. Choose "
            "data.options.languages among them."
        )
    return sorted(available if languages is None else set(languages))
