"""A reader of rows in memory, and a small source of rows, for tests of the corpus."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.file_hashes import HashFile, sha256_of
from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.data.readers.base import Row


@dataclass
class MemoryReader:
    rows_by_language: Mapping[str, Sequence[Row]]
    name: str = "memory"

    def languages(self) -> list[str]:
        return sorted(self.rows_by_language)

    def fingerprint(self, hash_file: HashFile = sha256_of) -> str:
        rows = sorted((language, list(rows)) for language, rows in self.rows_by_language.items())
        return hashlib.sha256(repr(rows).encode("utf-8")).hexdigest()

    def rows(self, language: str) -> Iterator[Row]:
        yield from self.rows_by_language[language]


RowsByLanguage = dict[str, list[Row]]


def row(language: str, number: int, passage: int | None = None, **fields: object) -> Row:
    passage = number if passage is None else passage
    made = Row(f"r{number}", f"{language} question {number}", f"{language} passage {passage}", f"p{passage}")
    return replace(made, **fields)  # type: ignore[arg-type]


SMALL: RowsByLanguage = {
    "en": [row("en", 0), row("en", 1), row("en", 2, negatives=("p0", "p1")), row("en", 3, 1)],
    "de": [row("de", 2, negatives=("p0", "p1")), row("de", 0), row("de", 1)],
    "th": [row("th", 3, 1), row("th", 0)],
}


def opened(rows: RowsByLanguage, folder: Path, validation_fraction: float = 0.0) -> dict[str, ParallelCorpus]:
    build_corpus(MemoryReader(rows), folder, validation_fraction=validation_fraction)
    return {split: ParallelCorpus.open(folder, split) for split in SPLITS}
