"""The reader of the embedded data set."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterator, Sequence

from hybrid_retrieval.data.file_hashes import HashFile, sha256_of
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.world_facts.facts import Fact, all_facts
from hybrid_retrieval.data.readers.world_facts.generator import generator_digest
from hybrid_retrieval.data.readers.world_facts.names import LANGUAGES
from hybrid_retrieval.data.readers.world_facts.wording import passage, question, question_count
from hybrid_retrieval.errors import UserError

NEGATIVES = 4


class WorldFactsReader:
    """Questions and passages about territories, cities, currencies, languages, scripts and units.

    The facts come from CLDR (through Babel) and pycountry, the sentences from templates written for each
    language. Every triple exists in every language, and the phrasing is drawn from the fact, not from the
    language: a question and its counterparts are translations of each other. One or two questions share the
    passage of a fact. Hard negatives are passages of the same kind and split about a neighbouring subject.

    Args:
        languages: the languages to read, ISO 639-1; None for all fourteen.

    Raises:
        UserError: a language is not among the fourteen.
    """

    name = "world_facts"

    def __init__(self, languages: Sequence[str] | None = None) -> None:
        unknown = sorted(set(languages or ()) - set(LANGUAGES))
        if unknown:
            raise UserError(
                f"data=world_facts has no language {', '.join(map(repr, unknown))}: "
                f"choose from {' '.join(LANGUAGES)}."
            )
        if languages is not None and not languages:
            raise UserError(
                "data=world_facts with an empty list of languages: name at least one, or leave it null."
            )
        self._languages = sorted(set(languages)) if languages is not None else list(LANGUAGES)
        self._rows: dict[str, list[Row]] = {}

    def languages(self) -> list[str]:
        """ISO 639-1 codes this reader gives, sorted."""
        return list(self._languages)

    def fingerprint(self, hash_file: HashFile = sha256_of) -> str:
        """SHA-256 of what the rows are generated from (`generator_digest`), and of the languages."""
        parts = ["world_facts 2", generator_digest(), self._languages]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def rows(self, language: str) -> Iterator[Row]:
        """Yield the rows of one language, sorted by fact.

        Raises:
            UserError: the reader was not asked for this language.
        """
        if language not in self._languages:
            raise UserError(
                f"data=world_facts was opened for {' '.join(self._languages)}, not {language!r}: "
                "add it to the languages."
            )
        if language not in self._rows:
            self._rows[language] = list(_rows(language))
        yield from self._rows[language]


def _rows(language: str) -> Iterator[Row]:
    negatives = hard_negatives(all_facts())
    for fact in all_facts():
        text = passage(language, fact)
        for number in range(question_count(fact)):
            yield Row(
                id=f"{fact.id}#{number}",
                question=question(language, fact, number),
                passage=text,
                passage_id=fact.id,
                negatives=negatives[fact.id],
                split=fact.split,
            )


def hard_negatives(facts: Sequence[Fact]) -> dict[str, tuple[str, ...]]:
    """The ids of up to `NEGATIVES` neighbouring facts, for each fact.

    Neighbours have the same kind and split. Those of the same group (subregion, script, ...) come first, of
    these the ones with another answer, then the nearest in the order of the ids.
    """
    pools: dict[tuple[str, str], list[Fact]] = defaultdict(list)
    for fact in facts:
        pools[fact.kind, fact.split].append(fact)
    negatives = {}
    for pool in pools.values():
        for i, fact in enumerate(pool):
            ranked = sorted(
                (other for other in range(len(pool)) if other != i),
                key=lambda other: (
                    pool[other].group != fact.group,
                    pool[other].answer == fact.answer,
                    abs(other - i),
                    other,
                ),
            )
            negatives[fact.id] = tuple(pool[other].id for other in ranked[:NEGATIVES])
    return negatives
