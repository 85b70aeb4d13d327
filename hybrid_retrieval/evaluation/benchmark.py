"""A benchmark: queries and candidates in several languages, and which candidates answer which queries."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hybrid_retrieval.errors import UserError


@dataclass(frozen=True)
class Benchmark:
    """Queries, a pool of candidates and the relevant candidates of each query.

    Attributes:
        name: the benchmark's name, as in `benchmark=<name>`.
        languages: ISO 639-1 codes; `query_language` and `candidate_language` index into it.
        query_ids: unique over all languages, such as "ar:56beb4343aeaaa14008c925b".
        query_texts: as many as `query_ids`.
        query_group: the id of a query without its language, shared by its translations.
        query_language: int16 (queries,).
        candidate_ids: unique over all languages. Equal scores are ranked by this id, descending.
        candidate_texts: as many as `candidate_ids`; texts may repeat.
        candidate_language: int16 (candidates,).
        relevant_offsets: int64 (queries + 1,).
        relevant: int64; `relevant[relevant_offsets[q]:relevant_offsets[q + 1]]` are the positions, in the
            pool of all languages, of the candidates that answer query q.
        grades: int (relevant,), positive: how relevant each is, which only nDCG looks at; None is 1 for each.

    Raises:
        ValueError: the arrays do not fit together.
        UserError: a query has no relevant candidate.
    """

    name: str
    languages: tuple[str, ...]
    query_ids: list[str]
    query_texts: list[str]
    query_group: list[str]
    query_language: np.ndarray
    candidate_ids: list[str]
    candidate_texts: list[str]
    candidate_language: np.ndarray
    relevant_offsets: np.ndarray
    relevant: np.ndarray
    grades: np.ndarray | None = None

    def __post_init__(self) -> None:
        queries, candidates = len(self.query_ids), len(self.candidate_ids)
        if not queries == len(self.query_texts) == len(self.query_group) == len(self.query_language):
            raise ValueError("query ids, texts, groups and languages differ in number")
        if not candidates == len(self.candidate_texts) == len(self.candidate_language):
            raise ValueError("candidate ids, texts and languages differ in number")
        if len(set(self.query_ids)) != queries or len(set(self.candidate_ids)) != candidates:
            raise ValueError("query ids and candidate ids must be unique over all languages")
        for of_text in (self.query_language, self.candidate_language):
            if len(of_text) and not (of_text.min() >= 0 and of_text.max() < len(self.languages)):
                raise ValueError("a language index lies outside `languages`")
        if len(self.relevant_offsets) != queries + 1 or self.relevant_offsets[-1] != len(self.relevant):
            raise ValueError(
                "relevant_offsets must have one entry a query and one more, the last len(relevant)"
            )
        if len(self.relevant) and not (self.relevant.min() >= 0 and self.relevant.max() < candidates):
            raise ValueError("a relevant position lies outside the pool")
        if self.grades is not None and not (
            len(self.grades) == len(self.relevant) and (self.grades > 0).all()
        ):
            raise ValueError("grades must be positive, one for each relevant candidate")
        without = np.flatnonzero(np.diff(self.relevant_offsets) == 0)
        if len(without):
            raise UserError(
                f"{self.name}: {len(without)} of {queries} queries have no relevant candidate, the first is "
                f"{self.query_ids[without[0]]!r}. Remove them, or add the passages that answer them."
            )

    @cached_property
    def tie_order(self) -> np.ndarray:
        """Place of each candidate among equal scores, int64 (candidates,): 0 for the greatest id.

        trec_eval orders equal scores by document id, descending, comparing the bytes of the ids; Python's
        order of strings by code point is the order of their UTF-8 bytes.
        """
        place = np.empty(len(self.candidate_ids), dtype=np.int64)
        place[sorted(range(len(place)), key=self.candidate_ids.__getitem__, reverse=True)] = np.arange(
            len(place)
        )
        return place

    def sample(self, questions: int) -> "Benchmark":
        """About so many questions, spread evenly, in every language that has them, and a share of the pool.

        Kept are the relevant candidates, and of the others the share that is kept of the questions.

        Args:
            questions: groups of parallel queries.
        """
        groups = list(dict.fromkeys(self.query_group))
        if questions >= len(groups):
            return self
        chosen = {groups[i] for i in np.linspace(0, len(groups) - 1, questions).astype(int)}
        queries = np.array([i for i, group in enumerate(self.query_group) if group in chosen])
        pairs = np.concatenate([np.arange(*self.relevant_offsets[q : q + 2]) for q in queries])
        others = np.setdiff1d(np.arange(len(self.candidate_ids)), self.relevant)
        some = others[np.linspace(0, len(others) - 1, len(others) * questions // len(groups)).astype(int)]
        candidates = np.union1d(self.relevant[pairs], some)
        return Benchmark(
            name=self.name,
            languages=self.languages,
            query_ids=[self.query_ids[q] for q in queries],
            query_texts=[self.query_texts[q] for q in queries],
            query_group=[self.query_group[q] for q in queries],
            query_language=self.query_language[queries],
            candidate_ids=[self.candidate_ids[c] for c in candidates],
            candidate_texts=[self.candidate_texts[c] for c in candidates],
            candidate_language=self.candidate_language[candidates],
            relevant_offsets=np.concatenate([[0], np.cumsum(np.diff(self.relevant_offsets)[queries])]),
            relevant=np.searchsorted(candidates, self.relevant[pairs]),
            grades=None if self.grades is None else self.grades[pairs],
        )

    def counts(self) -> dict[str, object]:
        """Queries and candidates of each language and the size of the pool, as in metrics.json."""

        def of_each(language: np.ndarray) -> dict[str, int]:
            return {code: int((language == i).sum()) for i, code in enumerate(self.languages)}

        return {
            "queries": of_each(self.query_language),
            "candidates": of_each(self.candidate_language),
            "pool": len(self.candidate_ids),
        }
