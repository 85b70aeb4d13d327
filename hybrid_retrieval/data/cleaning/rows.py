"""Which rows of one language cleaning removes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.cleaning.duplicates import Rows, exact_duplicates
from hybrid_retrieval.data.cleaning.settings import SWITCHES
from hybrid_retrieval.data.cleaning.texts import LONG, SHORT, Measured
from hybrid_retrieval.data.joined_triples import TripleFiles, small_int
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


class RemovedRow(NamedTuple):
    """A row that was removed, by its numbers.

    Attributes:
        query: of the row.
        passage: of the row.
        of_query: the query of the row that it repeats, -1 where it repeats none or only a passage.
        of_passage: the passage that it repeats, -1 where it repeats none.
    """

    query: int
    passage: int
    of_query: int = -1
    of_passage: int = -1


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
        examples: of each switch the first rows that it removed, at most `EXAMPLES`, of different questions
            and different passages. Those of `decontaminate` have a contaminated text in this language.
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
        self.examples: dict[str, list[RemovedRow]] = {switch: [] for switch in SWITCHES}

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

    def _remove(self, switch: str, part: Part, which: BoolArray, shown: BoolArray) -> None:
        """Remove rows of a part, unless they are removed already; examples are among those shown."""
        new = which & (self.removed[part.triple] == 0)
        self.removed[part.triple[new]] = _CODE[switch]
        self._show(switch, part.query[new & shown], part.passage[new & shown])

    def _show(self, switch: str, *columns: IntArray) -> None:
        """Take examples from removed rows, in their order; the columns are those of `RemovedRow`."""
        examples = self.examples[switch]
        if len(examples) == EXAMPLES:
            return
        rows = np.sort(np.unique(columns[0], return_index=True)[1])
        rows = rows[np.sort(np.unique(columns[1][rows], return_index=True)[1])]
        for row in rows[: 3 * EXAMPLES].tolist():  # at most 2 * EXAMPLES have something that is shown already
            one = RemovedRow(*(int(column[row]) for column in columns))
            known = any(one.query == other.query or one.passage == other.passage for other in examples)
            if not known and len(examples) < EXAMPLES:
                examples.append(one)

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
                self._remove(switch, part, has[kind] & matches, part.rows)
            hit = contaminated["queries"][part.query] | contaminated["passages"][part.passage]
            own = has["queries"] & self._measured["queries"].contaminated[part.query]
            own |= has["passages"] & self._measured["passages"].contaminated[part.passage]
            self._remove("decontaminate", part, hit & (part.has_query | part.has_passage), own)
            self._remove("same_text", part, part.has_passage & copies[part.passage], part.rows)

    def remove_exact_duplicates(self) -> None:
        """Remove the rows that repeat an earlier one."""
        hashes = [self._measured[kind].hashes for kind in ("queries", "passages")]
        triples, *numbers = exact_duplicates(self.remaining, hashes[0], hashes[1])
        self.removed[triples] = _CODE["exact_duplicates"]
        self._show("exact_duplicates", *numbers)

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

        repeats = near_duplicates(batch, len(used), threshold, folder, language)
        of = np.full(len(self._drawn), -1, dtype=small_int(len(self._drawn)))
        of[used[repeats >= 0]] = used[repeats[repeats >= 0]]
        for triple, query, passage, _ in self.remaining():
            gone = of[passage] >= 0
            self.removed[triple[gone]] = _CODE["near_duplicates"]
            none = np.full(int(gone.sum()), -1)
            self._show("near_duplicates", query[gone], passage[gone], none, of[passage[gone]])

    def report(self) -> dict[str, Any]:
        """Rows before and after, and by switch how many it removed."""
        counts, before = np.zeros(len(SWITCHES) + 1, dtype=np.int64), 0
        for part in self.parts():
            before += int(part.rows.sum())
            counts += np.bincount(self.removed[part.triple[part.rows]], minlength=len(counts))
        return {
            "before": before,
            "after": int(counts[0]),
            "removed": {switch: int(counts[code]) for switch, code in _CODE.items()},
        }
