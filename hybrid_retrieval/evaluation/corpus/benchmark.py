"""A benchmark whose passages are too many to hold: streams of passages, queries, and graded answers."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.file_names import is_file_name

NAMED_QUERIES = 5


class Passage(NamedTuple):
    """A passage of a stream.

    Attributes:
        id: unique within the collection.
        text: what is embedded.
        language: ISO 639-1 code.
        where: file and line, for messages.
    """

    id: str
    text: str
    language: str
    where: str


@dataclass(frozen=True)
class CorpusQuery:
    """A query on a collection.

    Attributes:
        id: unique within the collection.
        text: the query.
        language: ISO 639-1 code.
        relevant: grade, positive, by id of each relevant passage.
    """

    id: str
    text: str
    language: str
    relevant: Mapping[str, int]


@dataclass(frozen=True)
class Collection:
    """Passages that are searched together, and the queries on them.

    Attributes:
        name: the language of its passages, or "pool" for all languages; also a folder's name.
        passages: begins the stream of passages anew, in the same order each time; never held in memory.
        queries: held in memory.
        place: where the files lie, for messages.

    Raises:
        ValueError: a query id repeats, or a grade is not positive.
        UserError: there are no queries, or some have no relevant passage.
    """

    name: str
    passages: Callable[[], Iterator[Passage]]
    queries: tuple[CorpusQuery, ...]
    place: Path | None = None

    @property
    def label(self) -> str:
        """Place and name, the start of a message."""
        return self.name if self.place is None else f"{self.place}: {self.name}"

    def __post_init__(self) -> None:
        if not self.queries:
            raise UserError(f"{self.label}: no queries. Choose languages and a split that have some.")
        repeated = [i for i, times in Counter(query.id for query in self.queries).items() if times > 1]
        if repeated:
            raise ValueError(f"{self.label}: query id {repeated[0]!r} repeats")
        if any(grade < 1 for query in self.queries for grade in query.relevant.values()):
            raise ValueError(f"{self.label}: grades of relevant passages must be positive")
        without = [query.id for query in self.queries if not query.relevant]
        if without:
            named = ", ".join(map(repr, without[:NAMED_QUERIES]))
            raise UserError(
                f"{self.label}: {len(without)} of {len(self.queries)} queries have no relevant passage: "
                f"{named}{', ...' if len(without) > NAMED_QUERIES else ''}. Remove them, or add the qrels of "
                "the passages that answer them."
            )


@dataclass(frozen=True)
class CorpusBenchmark:
    """Collections, how their queries are scored, and in which setting of metrics.json.

    Attributes:
        name: the benchmark's name, as in `benchmark=<name>`.
        collections: of different names.
        metrics: keys as `metric` of evaluation/metrics.py takes them.
        setting: "monolingual" if queries search passages of their own language, "multilingual" if they search
            those of all languages.

    Raises:
        ValueError: two collections of one name.
        UserError: the code of a language is none, and would name a file elsewhere.
    """

    name: str
    collections: tuple[Collection, ...]
    metrics: tuple[str, ...]
    setting: Literal["monolingual", "multilingual"]

    def __post_init__(self) -> None:
        names = [collection.name for collection in self.collections]
        if not names or len(set(names)) != len(names):
            raise ValueError(f"{self.name}: collections need different names, not {names}")
        if wrong := [name for name in (*names, *self.languages) if not is_file_name(name)]:
            raise UserError(
                f"{self.name}: the language {wrong[0]!r} cannot be part of a file's name. Use a code such as "
                "'zh' or 'zh-Hant'."
            )

    @property
    def languages(self) -> tuple[str, ...]:
        """The languages of the queries, sorted."""
        return tuple(sorted({query.language for of in self.collections for query in of.queries}))
