"""Rows that cleaning removed, with their texts and the reason, for a person to look at.

An example is a JSON object:

    language, query_id, passage_id      of the row; the ids are the source's
    question, passage                   its texts, cut after `SHOWN_CHARACTERS`; null where there is none

and, by switch,

    min_..., max_...    characters      of the text
    decontaminate       found           question or passage
                        benchmark, benchmark_id, benchmark_text     what it shares text with, cut as well
                        gram, shared    the first n-gram that both have, and how many they share
    same_text           equal_in        other languages that have the same passage
                        kept_in         those of them that keep it
    exact_duplicates    of              {query_id, passage_id, question, passage} of the row that stays
    near_duplicates     of              {passage_id, passage} of the passage that stays
                        similarity      of the two passages, whole
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hybrid_retrieval.data.cleaning.rows import RemovedRow
from hybrid_retrieval.data.cleaning.settings import SHOWN_CHARACTERS, Cleaning
from hybrid_retrieval.data.cleaning.texts import KINDS, Measured
from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.sampling.triples import BoolArray

Example = dict[str, Any]


@dataclass(frozen=True)
class Examples:
    """Describes removed rows of one language; a few texts are read for each.

    Attributes:
        corpus: folder of the texts and ids, in the order of the joined ids.
        language: of the rows.
        measured: the passages of every language.
        copies: of every language, bool (passages,), the untranslated ones; empty where `same_text` is off.
        cleaning: the switches.
    """

    corpus: Path
    language: str
    measured: Mapping[str, Measured]
    copies: Mapping[str, BoolArray]
    cleaning: Cleaning
    _files: dict[Path, MappedTexts] = field(default_factory=dict)

    def described(self, switch: str, rows: Sequence[RemovedRow]) -> list[Example]:
        """The examples of a switch.

        Args:
            switch: one of `settings.SWITCHES`.
            rows: that it removed.
        """
        return [{**self._row(row), **self._reason(switch, row)} for row in rows]

    def _row(self, row: RemovedRow) -> Example:
        return {
            "language": self.language,
            "query_id": self._id("queries", row.query),
            "passage_id": self._id("passages", row.passage),
            "question": _cut(self._text("queries", row.query)),
            "passage": _cut(self._text("passages", row.passage)),
        }

    def _reason(self, switch: str, row: RemovedRow) -> Example:
        if switch == "decontaminate":
            return self._collision(row)
        if switch == "same_text":
            return self._copy(row.passage)
        if switch == "exact_duplicates":
            of = self._row(RemovedRow(row.of_query, row.of_passage))
            del of["language"]
            return {"of": of}
        if switch == "near_duplicates":
            return self._near(row)
        text = self._text(*(("queries", row.query) if "question" in switch else ("passages", row.passage)))
        return {"characters": len(text or "")}

    def _collision(self, row: RemovedRow) -> Example:
        for kind, number in (("queries", row.query), ("passages", row.passage)):
            text, against = self._text(kind, number), self.cleaning.decontamination
            matches = against.explain(text, self.language) if against is not None and text is not None else []
            if matches:
                first = matches[0]
                return {
                    "found": KINDS[kind],
                    "benchmark": first.benchmark,
                    "benchmark_id": first.id,
                    "benchmark_text": _cut(first.text),
                    "gram": first.gram,
                    "shared": first.shared,
                }
        return {}

    def _copy(self, passage: int) -> Example:
        own = self.measured[self.language].hashes[passage]
        equal = [
            code
            for code, texts in self.measured.items()
            if code != self.language and texts.hashes[passage] == own
        ]
        return {"equal_in": equal, "kept_in": [code for code in equal if not self.copies[code][passage]]}

    def _near(self, row: RemovedRow) -> Example:
        from hybrid_retrieval.data.cleaning.shingles import jaccard, shingles  # noqa: PLC0415

        of = self._text("passages", row.of_passage)
        values, offsets = shingles([self._text("passages", row.passage), of], self.language)
        similarity = jaccard(values, *np.repeat(offsets, [1, 2, 1]))
        return {
            "of": {"passage_id": self._id("passages", row.of_passage), "passage": _cut(of)},
            "similarity": round(float(similarity), 4),
        }

    def _text(self, kind: str, number: int) -> str | None:
        texts = self._mapped(self.corpus / kind / f"{self.language}.arrow")
        return texts[number] if number < len(texts) else None

    def _id(self, kind: str, number: int) -> str:
        return str(self._mapped(self.corpus / "ids" / f"{kind}.arrow")[number])

    def _mapped(self, path: Path) -> MappedTexts:
        if path not in self._files:
            self._files[path] = MappedTexts(path)
        return self._files[path]


def _cut(text: str | None) -> str | None:
    return text if text is None or len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"
