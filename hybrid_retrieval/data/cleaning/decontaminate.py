"""Training texts that a benchmark has, too.

Two texts are compared by the n-grams that they share, as GPT-3 does (Brown et al. 2020, arXiv 2005.14165,
appendix C: 8 to 13 words).
"""

import hashlib
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
from omegaconf import DictConfig

from hybrid_retrieval.data.cleaning.gram_table import MOST, GramTable, TextGrams
from hybrid_retrieval.data.cleaning.grams import gram_length, spaceless, text_grams, units_of, words_of
from hybrid_retrieval.data.cleaning.settings import SHOWN_CHARACTERS
from hybrid_retrieval.errors import UserError

if TYPE_CHECKING:
    from hybrid_retrieval.data.cleaning.benchmark_texts import BenchmarkFiles

WORDS = 8
SHARED = 5
_RULE = 1  # counts the changes of what is found
_BATCH = 1024  # texts


class Match(NamedTuple):
    """What a training text has in common with a text of a benchmark.

    Attributes:
        benchmark: as the setting names it.
        id: of the benchmark's text.
        gram: the first n-gram that both have, normalised.
        shared: how many n-grams of the training text lead to this text.
        text: of the benchmark; of a long one little more than `SHOWN_CHARACTERS`.
    """

    benchmark: str
    id: str
    gram: str
    shared: int
    text: str


class _Grams(NamedTuple):
    """Kind and size of the grams of a language, and how many must be shared."""

    characters: bool
    n: int
    shared: int


class Decontamination:
    """Tells which training texts are in a benchmark; picklable.

    Texts are normalised (`normalized`) and compared by their grams: 8 words in a row, or, in languages
    written without spaces, the characters that translate 8 words of English (zh 13, ja 18, th 39, km 46,
    my 54). A text with fewer is one gram, which only an equal text has. A training text is contaminated by a
    benchmark if it shares with it

    - 5 different grams, or the characters that translate 5 words of English (12 words in a row suffice), or
    - all the grams that it has itself, so that an equal text is always found, or
    - all the grams of one of the benchmark's texts that has fewer than 5, such as a question of 10 words.

    A training text of any language is compared with those of all languages of the benchmark; the words of
    other languages that one in a language without spaces may quote are compared, too. Grams are 64-bit
    hashes: between 10^10 grams of training texts and 10^7 of benchmarks, 0.006 are expected to be equal by
    chance.

    What counts of a benchmark: all queries and candidates; of `beir` the queries and the documents that
    answer one; of `miracl` and `mewsli_x` the queries. Options are those of `conf/benchmark/`; of
    `squadshifts` every subset that is there.

    The texts of the benchmarks are read when the first training text is asked for, or when this is pickled.

    Args:
        benchmarks: NAME of `conf/benchmark/`, or NAME:FOLDER where its files lie elsewhere.
        paths: one of `conf/paths/`.
        hash_file: hex digest of a file.
        words: of a gram.
        shared: grams to share, at most 255.

    Attributes:
        benchmarks: as given.
        fingerprint: hex digest of the names, options and files of the benchmarks and of the rule.

    Raises:
        UserError: no such benchmark, or its files are missing.
    """

    def __init__(
        self,
        benchmarks: Sequence[str],
        paths: DictConfig,
        hash_file: Callable[[Path], str],
        *,
        words: int = WORDS,
        shared: int = SHARED,
    ) -> None:
        # Loads the models' libraries, too, which the processes that clean do without.
        from hybrid_retrieval.data.cleaning.benchmark_texts import SETTING, find_benchmark  # noqa: PLC0415

        if isinstance(benchmarks, str) or not all(isinstance(entry, str) for entry in benchmarks):
            raise UserError(
                f"{SETTING}={benchmarks} must be a list of benchmarks such as [xquad_r,beir:/data/scifact]."
            )
        if words < 1 or not 1 <= shared <= MOST:
            raise ValueError(f"words={words} must be at least 1, and shared={shared} from 1 to {MOST}")
        self.benchmarks = tuple(dict.fromkeys(benchmarks))
        self._words, self._shared = words, shared
        self._sources: list[BenchmarkFiles] = [find_benchmark(entry, paths) for entry in self.benchmarks]
        content = [_RULE, unicodedata.unidata_version, words, shared]
        parts = [
            *content,
            *([of.entry.partition(":")[0], *of.fingerprint(hash_file)] for of in self._sources),
        ]
        self.fingerprint = hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        _ = self._table
        return {key: value for key, value in self.__dict__.items() if key != "_sources"}

    def contaminated(self, texts: Iterable[str | None], language: str) -> npt.NDArray[np.bool_]:
        """Whether each text is in any of the benchmarks; bool (texts,).

        Args:
            texts: of training; None is not.
            language: ISO 639-1 code.

        Raises:
            UserError: a file of a benchmark is malformed.
        """
        return np.asarray(self.found_in(texts, language).any(axis=1))

    def found_in(self, texts: Iterable[str | None], language: str) -> npt.NDArray[np.bool_]:
        """Which benchmarks each text is in; bool (texts, benchmarks). Arguments as for `contaminated`."""
        rest = iter(texts)
        found = [np.zeros((0, len(self.benchmarks)), dtype=np.bool_)]
        while batch := list(islice(rest, _BATCH)):
            for number, (characters, n, shared) in enumerate(self._grams(language, quotes=True)):
                grams = text_grams(units_of(batch, characters=characters), n)
                of_batch = self._table[0].found(grams, shared)
                if number:
                    found[-1] |= of_batch
                else:
                    found.append(of_batch)
        return np.concatenate(found)

    def explain(self, text: str, language: str) -> list[Match]:
        """The texts of benchmarks that a training text shares grams with, most shared first.

        Of several texts of a benchmark that have a gram one is named.

        Args:
            text: of training.
            language: ISO 639-1 code.

        Returns:
            Nothing for a text that is not contaminated.
        """
        in_benchmark = self.found_in([text], language)[0]
        table, texts = self._table
        matches: dict[tuple[int, int], Match] = {}
        seen: set[int] = set()
        for characters, n, _ in self._grams(language, quotes=True):
            units = words_of(text, characters=characters)
            grams = text_grams(units_of([text], characters=characters), n)
            for place, gram in enumerate(grams.hashes):
                row = table.row(gram)
                if row in seen or row < 0:
                    continue
                seen.add(row)
                for benchmark in np.flatnonzero(in_benchmark & (table.need[row] > 0)).tolist():
                    key = (benchmark, int(table.text[row, benchmark]))
                    words = ("" if characters else " ").join(units[place : place + n])
                    known = matches.get(key)
                    if known is None:
                        name, of_benchmark = texts[benchmark][key[1]]
                        known = Match(self.benchmarks[benchmark], name, words, 0, of_benchmark)
                    matches[key] = known._replace(shared=known.shared + 1)
        return sorted(matches.values(), key=lambda match: -match.shared)

    def _grams(self, language: str, *, quotes: bool) -> Iterator[_Grams]:
        """The grams of a language's texts, and with quotes those of words in a language without spaces."""
        if spaceless(language):
            shared = min(MOST, gram_length(language, self._shared))
            yield _Grams(True, gram_length(language, self._words), shared)
        if quotes or not spaceless(language):
            yield _Grams(False, self._words, self._shared)

    @cached_property
    def _table(self) -> tuple[GramTable, list[list[tuple[str, str]]]]:
        """The grams of the benchmarks, and the ids and beginnings of their texts."""
        grams, known = [], []
        for source in self._sources:
            texts = list(source.texts())
            of_benchmark = []
            for language in sorted({text.language for text in texts}):
                numbers = [number for number, text in enumerate(texts) if text.language == language]
                for characters, n, shared in self._grams(language, quotes=False):
                    units = units_of([texts[number].text for number in numbers], characters=characters)
                    of_language = text_grams(units, n)
                    rows = np.array(numbers, dtype=np.int32)
                    of_benchmark.append(TextGrams.of(of_language, shared, rows))
            grams.append(TextGrams.joined(of_benchmark))
            known.append([(text.id, text.text[: SHOWN_CHARACTERS + 1]) for text in texts])
        return GramTable.of(grams), known
