"""Which rows of one language cleaning removes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.cleaning.duplicates import Rows, exact_duplicates
from hybrid_retrieval.data.cleaning.settings import SWITCHES
from hybrid_retrieval.data.cleaning.texts import LONG, SHORT, Measured
from hybrid_retrieval.data.joined_triples import TripleFiles
from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.sampling.triples import BoolArray, IntArray

PART = 1 << 20
EXAMPLES = 3
_CODE = {switch: code for code, switch in enumerate(SWITCHES, 1)}
_BY_TEXT = (
    ("min_question_chars", "queries", "length", SHORT),
    ("max_question_chars", "queries", "length", LONG),
    ("min_passage_chars", "passages", "length", SHORT),
    ("max_passage_chars", "passages", "length", LONG),
)


@dataclass(frozen=True)
class Part:
    """Consecutive triples, seen in one language.

    Attributes:
        triple: int64 (n,), their numbers.
        query: int64 (n,).
        passage: int64 (n,), the positives.
        place: int64 (n,), place in the order in which the earlier of two duplicates stays: those of the test
            split first, then validation, then train.
        has_query: bool (n,), whether the language has the question.
        has_passage: bool (n,), whether it has the passage.
    """

    triple: IntArray
    query: IntArray
    passage: IntArray
    place: IntArray
    has_query: BoolArray
    has_passage: BoolArray

    @property
    def rows(self) -> BoolArray:
        """Bool (n,), where the language has both."""
        return self.has_query & self.has_passage


class LanguageRows:
    """The rows of a language, and which switch removed which.

    Args:
        triples: of all languages.
        drawn: int8 (passages,), the split of triples that state none, by their passage.
        column: of the language, among `languages`.
        languages: how many there are.
        measured: the texts of the language, `queries` and `passages`.

    Attributes:
        removed: uint8 (triples,), 0 or the code of a switch.
    """

    def __init__(
        self,
        triples: TripleFiles,
        drawn: npt.NDArray[np.int8],
        column: int,
        languages: int,
        measured: dict[str, Measured],
    ) -> None:
        self._triples, self._drawn = triples, drawn
        self._column, self._languages = column, languages
        self._measured = measured
        self._there = {kind: texts.there for kind, texts in measured.items()}
        self.removed = np.zeros(len(triples), dtype=np.uint8)

    def parts(self) -> Iterator[Part]:
        """All triples of the corpus, in parts."""
        for part in self._triples.parts(PART):
            triple = np.arange(part.start, part.stop)
            query = self._triples.column("query", part.start, part.stop).astype(np.int64)
            passage = self._triples.column("positive", part.start, part.stop).astype(np.int64)
            stated = self._triples.column("split", part.start, part.stop)
            split = np.where(stated >= 0, stated, self._drawn[passage]).astype(np.int64)
            has_query = self._there["queries"][query]
            if self._triples.masked:
                start, stop = part.start * self._languages, part.stop * self._languages
                masks = self._triples.column("languages", start, stop).reshape(-1, self._languages)
                has_query = has_query & masks[:, self._column]
            place = (2 - split) * len(self._triples) + triple
            yield Part(triple, query, passage, place, has_query, self._there["passages"][passage])

    def remaining(self) -> Iterator[Rows]:
        """The rows that nothing has removed yet, in parts."""
        for part in self.parts():
            left = part.rows & (self.removed[part.triple] == 0)
            yield part.triple[left], part.query[left], part.passage[left], part.place[left]

    def remove(self, switch: str, triples: IntArray) -> None:
        """Remove rows, unless they are removed already."""
        self.removed[triples[self.removed[triples] == 0]] = _CODE[switch]

    def remove_by_texts(self, contaminated: dict[str, BoolArray], copies: BoolArray) -> None:
        """Remove what texts are reason enough for, also where the language has one of the two texts alone.

        Args:
            contaminated: by kind, bool (texts,), in whatever language.
            copies: bool (passages,), the untranslated ones of this language.
        """
        for part in self.parts():
            number = {"queries": part.query, "passages": part.passage}
            has = {"queries": part.has_query, "passages": part.has_passage}
            for switch, kind, name, value in _BY_TEXT:
                matches = getattr(self._measured[kind], name)[number[kind]] == value
                self.remove(switch, part.triple[has[kind] & matches])
            hit = contaminated["queries"][part.query] | contaminated["passages"][part.passage]
            self.remove("decontaminate", part.triple[hit & (part.has_query | part.has_passage)])
            self.remove("same_text", part.triple[part.has_passage & copies[part.passage]])

    def remove_exact_duplicates(self) -> None:
        """Remove the rows that repeat an earlier one."""
        hashes = [self._measured[kind].hashes for kind in ("queries", "passages")]
        self.remove("exact_duplicates", exact_duplicates(self.remaining, hashes[0], hashes[1]))

    def remove_near_duplicates(
        self, texts: MappedTexts, threshold: float, folder: Path, language: str
    ) -> None:
        """Remove the rows whose passage nearly repeats an earlier one of another id.

        Args:
            texts: the passages.
            threshold: of the similarity.
            folder: an existing folder for temporary files.
            language: ISO 639-1 code.
        """
        from hybrid_retrieval.data.cleaning.near_duplicates import near_duplicates  # noqa: PLC0415

        last = 3 * len(self._triples)
        place = np.full(len(self._drawn), last, dtype=np.int64)
        for _, _, passage, places in self.remaining():
            np.minimum.at(place, passage, places)
        used = np.flatnonzero(place < last)
        used = used[np.argsort(place[used])]
        del place

        def batch(positions: IntArray) -> list[str | None]:
            taken: list[str | None] = texts.take(used[positions]).to_pylist()
            return taken

        repeated = np.zeros(len(self._drawn), dtype=np.bool_)
        repeated[used[near_duplicates(batch, len(used), threshold, folder, language)]] = True
        for triple, _, passage, _ in self.remaining():
            self.remove("near_duplicates", triple[repeated[passage]])

    def report(self) -> dict[str, Any]:
        """Rows before and after, and by switch how many it removed, with the query numbers of some."""
        counts, before = np.zeros(len(SWITCHES) + 1, dtype=np.int64), 0
        examples: dict[str, list[int]] = {switch: [] for switch in SWITCHES}
        for part in self.parts():
            before += int(part.rows.sum())
            codes = self.removed[part.triple[part.rows]]
            counts += np.bincount(codes, minlength=len(counts))
            for switch, known in examples.items():
                if len(known) < EXAMPLES and (codes == _CODE[switch]).any():
                    queries = part.query[part.rows][codes == _CODE[switch]]
                    known += [query for query in dict.fromkeys(queries.tolist()) if query not in known]
                    del known[EXAMPLES:]
        return {
            "before": before,
            "after": int(counts[0]),
            "removed": {switch: int(counts[code]) for switch, code in _CODE.items()},
            "examples": examples,
        }
