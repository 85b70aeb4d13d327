"""A reader of rows in memory, for tests of the corpus."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hybrid_retrieval.data.readers.base import Row


@dataclass
class MemoryReader:
    rows_by_language: Mapping[str, Sequence[Row]]
    name: str = "memory"

    def languages(self) -> list[str]:
        return sorted(self.rows_by_language)

    def fingerprint(self) -> str:
        rows = sorted((language, list(rows)) for language, rows in self.rows_by_language.items())
        return hashlib.sha256(repr(rows).encode("utf-8")).hexdigest()

    def rows(self, language: str) -> Iterator[Row]:
        yield from self.rows_by_language[language]
