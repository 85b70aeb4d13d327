"""A parallel corpus: triples of ids shared by all languages, and the text of those ids in each language.

A prepared corpus is a folder that `hybrid_retrieval.data.build` makes:

    corpus.json                 schema, name, languages, fingerprint, counts, size of every file; and in a
                                copy in some of the languages (`copy_corpus`) `columns`, all languages
    ids/{queries,passages}.arrow            the source's ids; a row's position is the query or passage id here
    {queries,passages}/<language>.arrow     text of each query or passage; null, or past the end of the file,
                                            where the language lacks it
    splits/<split>/query.npy                int32 (triples,); these three int64 beyond 2^31 texts
    splits/<split>/positive.npy             int32 (triples,), the positive passage
    splits/<split>/negative_offsets.npy     int64 (triples + 1,)
    splits/<split>/negatives.npy            int32, the hard negatives of all triples, one after another
    splits/<split>/run_{starts,query,passage}.npy   the arrays of `Availability`

The triples of a split are sorted by the languages they have, the complete ones first. Several triples may
share a query: with other negatives, or with other passages in other languages. The query of a triple counts
in the languages that `run_query` says, which may be fewer than have a text of it (`data.joined_triples`).
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_retrieval.data.array_files import DAMAGED_ARRAY
from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.data.readers.base import Row, Split
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.triples import Availability, IntArray
from hybrid_retrieval.security.file_names import is_file_name, is_inside

SPLITS: tuple[Split, ...] = ("train", "validation", "test")
SCHEMA = 1
MANIFEST = "corpus.json"


@dataclass(frozen=True)
class Manifest:
    """What `corpus.json` says.

    Attributes:
        name: name of the data set.
        languages: sorted.
        fingerprint: hex digest of the content and of how it was prepared.
        counts: `queries`, `passages`, `rows` (triples that have both texts) by language, and by split
            `triples`, `distinct_positives` and `in_languages`: `ParallelCorpus.triples_by_languages`, which
            in a copy counts all `columns`.
        files: bytes of every file, by its path in the folder.
        columns: the languages of the arrays of `Availability`, sorted: more than `languages` in a copy that
            was made in some of them.
        needed: languages that every triple has.
        source: where it comes from: `data.origin`.
        cleaning: what was removed: `data.cleaning.report`; None where nothing was to be.
    """

    name: str
    languages: tuple[str, ...]
    fingerprint: str
    counts: Mapping[str, Any]
    files: Mapping[str, int]
    columns: tuple[str, ...]
    needed: tuple[str, ...]
    source: Mapping[str, str]
    cleaning: Mapping[str, Any] | None


def parse_manifest(data: bytes, where: str, again: str) -> Manifest:
    """The content of a `corpus.json`.

    Args:
        data: of the file.
        where: the file, for messages.
        again: what to do when it is damaged.

    Raises:
        UserError: it is damaged or of another version.
    """
    try:
        content = json.loads(data)
        schema = content["schema"]
        if schema != SCHEMA:
            raise UserError(f"{where}: prepared with schema {schema}, this version reads {SCHEMA}. {again}")
        languages = tuple(content["languages"])
        if not set(languages) <= set(content.get("columns", languages)):
            raise ValueError("languages without columns")
        if any(type(content["counts"][kind]) is not int for kind in ("queries", "passages")):
            raise TypeError("counts that are no whole numbers")
        if not all(isinstance(name, str) for name in (content["name"], *languages)):
            raise TypeError("names that are no text")
        names = (content["name"], content["fingerprint"], *languages)
        if not all(map(is_file_name, names)) or not all(map(is_inside, content["files"])):
            raise UserError(f"{where}: names files that no prepared corpus has. {again}")
        return Manifest(
            content["name"],
            languages,
            content["fingerprint"],
            content["counts"],
            {str(name): int(size) for name, size in content["files"].items()},
            tuple(content.get("columns", languages)),
            tuple(content.get("needed_languages", ())),
            dict(content.get("source", {})),
            content.get("cleaning"),
        )
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{where}: damaged ({error!r}). {again}") from None


def read_manifest(folder: Path) -> Manifest:
    """Read `corpus.json` and check that every file is there at its full size.

    Raises:
        UserError: the folder is no complete corpus of this version; the message says what to do.
    """
    path = folder / MANIFEST
    again = f"Delete the folder {folder} and run `hybrid-retrieval prepare` again."
    try:
        manifest = parse_manifest(path.read_bytes(), str(path), again)
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(
            f"{folder} is not a prepared corpus: it has no {MANIFEST}. Run `hybrid-retrieval prepare` first."
        ) from None
    for name, size in manifest.files.items():
        file = folder / name
        if not file.is_file():
            raise UserError(f"{file}: missing. {again}")
        if file.stat().st_size != size:
            raise UserError(f"{file}: damaged: {file.stat().st_size} bytes instead of {size}. {again}")
    return manifest


class ParallelCorpus:
    """One split of a prepared corpus; satisfies `hybrid_retrieval.sampling.triples.TripleSource`.

    A triple is a position in the split; its query and its passages are ids that all splits and languages
    share. Arrays and texts are mapped from disk, and pickling sends the path alone.

    Args:
        folder: the prepared corpus.
        split: train, validation or test; it may have no triples.

    Raises:
        UserError: the folder is missing, damaged or of another version; or there is no such split.
    """

    def __init__(self, folder: Path, split: str) -> None:
        if split not in SPLITS:
            raise UserError(f"There is no split {split!r}: choose from {', '.join(SPLITS)}.")
        # Absolute, so that a worker in another working directory finds it.
        self.folder = folder.absolute()
        self.split: Split = split
        manifest = read_manifest(self.folder)
        self.name = manifest.name
        self.languages = manifest.languages
        self.fingerprint = manifest.fingerprint
        self.counts = manifest.counts
        try:
            self.passage_count = int(manifest.counts["passages"])
            self.distinct_positives = int(manifest.counts["splits"][split]["distinct_positives"])
            self._query = self._array("query")
            self._positive = self._array("positive")
            self._negative_offsets = self._array("negative_offsets")
            self._negatives = self._array("negatives")
            columns = [manifest.columns.index(language) for language in manifest.languages]
            self.availability = Availability(
                np.array(self._array("run_starts")),
                np.array(self._array("run_query")[:, columns]),
                np.array(self._array("run_passage")[:, columns]),
            )
            self._check_lengths()
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(
                f"{self.folder}: damaged ({error}). Delete it and run `hybrid-retrieval prepare` again."
            ) from None
        self._texts: dict[str, MappedTexts] = {}

    @classmethod
    def open(cls, folder: Path, split: str) -> "ParallelCorpus":
        """Open one split of a prepared corpus; the same as the constructor."""
        return cls(folder, split)

    def __len__(self) -> int:
        return len(self._query)

    def __reduce__(self) -> tuple[type["ParallelCorpus"], tuple[Path, str]]:
        return ParallelCorpus, (self.folder, self.split)

    def __repr__(self) -> str:
        languages = ", ".join(self.languages)
        return f"ParallelCorpus({self.name!r}, {self.split}, {len(self)} triples in {languages})"

    def queries(self, triples: IntArray) -> IntArray:
        """Query id of each triple, int64."""
        return np.asarray(self._query[triples], dtype=np.int64)

    def positives(self, triples: IntArray) -> IntArray:
        """Positive passage id of each triple, int64."""
        return np.asarray(self._positive[triples], dtype=np.int64)

    def negative_counts(self, triples: IntArray | None = None) -> IntArray:
        """Number of hard negatives of each of these triples, or of all, int64."""
        if triples is None:
            return np.diff(self._negative_offsets)
        starts, ends = self._negative_offsets[triples], self._negative_offsets[triples + 1]
        return np.asarray(ends - starts, dtype=np.int64)

    def negatives(self, triples: IntArray, k: int) -> IntArray:
        """The first k hard negatives of each triple.

        Returns:
            Passage ids int64 (triples, k), -1 where a triple has fewer.
        """
        triples = np.asarray(triples, dtype=np.int64)
        starts, ends = self._negative_offsets[triples], self._negative_offsets[triples + 1]
        wanted = starts[:, None] + np.arange(k)
        exists = wanted < ends[:, None]
        found = np.full(wanted.shape, -1, dtype=np.int64)
        found[exists] = self._negatives[wanted[exists]]
        return found

    def triples_by_languages(self) -> dict[int, int]:
        """How many triples have both texts in 1, 2, ... languages; in 0 where only across languages."""
        return self.availability.triples_by_languages()

    def query_text(self, language: str, query: int) -> str:
        """Text of a query.

        Raises:
            ValueError: the language lacks the query.
        """
        text = self.query_text_or_none(language, query)
        if text is None:
            raise ValueError(f"{self.name} has no text in {language!r} for query {query}")
        return text

    def query_text_or_none(self, language: str, query: int) -> str | None:
        """Text of a query, or None where the language lacks it."""
        return self._text("queries", language, query)

    def passage_text(self, language: str, passage: int) -> str | None:
        """Text of a passage, or None where the language lacks it, as can happen to a hard negative."""
        return self._text("passages", language, passage)

    def row_ids(self, triples: IntArray) -> list[str]:
        """The ids that the source gives to the rows of these triples, for messages."""
        return [self._id("queries", int(query)) for query in self.queries(triples)]

    def passage_ids(self, passages: Sequence[int]) -> list[str]:
        """The ids that the source gives to these passages, for messages."""
        return [self._id("passages", int(passage)) for passage in passages]

    def rows(self, language: str) -> list[Row]:
        """All rows of this split in a language, in the order of the triples."""
        rows = []
        everything = np.arange(len(self))
        has_query = self.availability.query[self.availability.run_of(everything), self._column(language)]
        for triple in np.flatnonzero(has_query).tolist():
            query, positive = self._query[triple], self._positive[triple]
            question = self._text("queries", language, int(query))
            if question is None:
                raise UserError(
                    f"{self.folder}: damaged (triple {triple} has no query in {language!r}). Delete it and "
                    "run `hybrid-retrieval prepare` again."
                )
            start, end = self._negative_offsets[triple : triple + 2]
            rows.append(
                Row(
                    id=self._id("queries", int(query)),
                    question=question,
                    passage=self._text("passages", language, int(positive)) or "",
                    passage_id=self._id("passages", int(positive)),
                    negatives=tuple(self._id("passages", int(n)) for n in self._negatives[start:end]),
                    split=self.split,
                )
            )
        return rows

    def _check_lengths(self) -> None:
        triples, starts = len(self._query), self.availability.starts
        fits = (
            triples == len(self._positive) == len(self._negative_offsets) - 1 == int(starts[-1])
            and len(self.availability.query) == len(self.availability.passage) == len(starts) - 1
            and int(self._negative_offsets[-1]) == len(self._negatives)
        )
        if not fits:
            raise ValueError("arrays that do not fit together")

    def _column(self, language: str) -> int:
        if language not in self.languages:
            raise ValueError(f"{self.name} has no language {language!r}, only {', '.join(self.languages)}")
        return self.languages.index(language)

    def _text(self, kind: str, language: str, row: int) -> str | None:
        self._column(language)
        texts = self._mapped(f"{kind}/{language}.arrow")
        if not 0 <= row < self.counts[kind]:
            raise IndexError(f"{self.name} has {self.counts[kind]} {kind}, no number {row}")
        return texts[row] if row < len(texts) else None

    def _id(self, kind: str, row: int) -> str:
        name = self._mapped(f"ids/{kind}.arrow")[row]
        if name is None:
            raise UserError(
                f"{self.folder}: damaged ({kind} number {row} has no id). Delete it and run "
                "`hybrid-retrieval prepare` again."
            )
        return name

    def _mapped(self, file: str) -> MappedTexts:
        if file not in self._texts:
            self._texts[file] = MappedTexts(self.folder / file)
        return self._texts[file]

    def _array(self, name: str) -> IntArray:
        path = self.folder / "splits" / self.split / f"{name}.npy"
        try:
            array: IntArray = np.load(path, mmap_mode="r", allow_pickle=False)
        except DAMAGED_ARRAY as error:
            raise UserError(
                f"{path}: damaged ({error}). Delete the folder {self.folder} and run "
                "`hybrid-retrieval prepare` again."
            ) from None
        return array
