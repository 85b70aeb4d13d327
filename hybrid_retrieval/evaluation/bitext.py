"""Bitext retrieval: find the translation of each sentence among the sentences of the other language."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.environment import environment
from hybrid_retrieval.evaluation.evaluate import check_embeddings
from hybrid_retrieval.evaluation.ranking import rank_relevant
from hybrid_retrieval.evaluation.results import PER_QUERY_FILE, SCHEMA, Results

if TYPE_CHECKING:
    from hybrid_retrieval.models.text_tokenizer import TextKind


@dataclass(frozen=True)
class SentencePairs:
    """Sentences of two languages, each the translation of the one at the same position.

    Attributes:
        languages: ISO 639-1 codes of the two sides.
        sentences: the two sides, equally long; sentences may repeat.
    """

    languages: tuple[str, str]
    sentences: tuple[list[str], list[str]]

    def __post_init__(self) -> None:
        if not len(self.sentences[0]) == len(self.sentences[1]) > 0:
            raise ValueError("the two sides must hold equally many sentences, at least one")

    @property
    def name(self) -> str:
        """Such as "de-en"."""
        return "-".join(self.languages)

    def ids(self, side: int) -> list[str]:
        """An id for each sentence of a side, such as "de-en:de:17", lines counted from 1."""
        return [f"{self.name}:{self.languages[side]}:{line + 1}" for line in range(len(self.sentences[side]))]


@dataclass(frozen=True)
class Bitext:
    """Pairs of sides, each of which is a retrieval task of its own in both directions.

    Attributes:
        name: the benchmark's name, as in `benchmark=<name>`.
        pairs: no two with the same languages.
        kind: as what both sides are embedded; the task is symmetric.
    """

    name: str
    pairs: tuple[SentencePairs, ...]
    kind: "TextKind" = "query"

    def __post_init__(self) -> None:
        if not self.pairs or len({frozenset(pair.languages) for pair in self.pairs}) != len(self.pairs):
            raise ValueError("there must be pairs, no two of them with the same languages")


def accuracy(nearest: np.ndarray) -> np.ndarray:
    """1 for each sentence whose nearest neighbour is its translation, else 0; float64 (sentences,).

    The mean is XTREME's accuracy (arXiv 2003.11080; `similarity_search` in its code, and the comparison of
    line numbers in its `evaluate.py`): only the position counts, so that finding the equal sentence of
    another line is an error.

    Args:
        nearest: int (sentences,), position of each sentence's nearest neighbour on the other side, where the
            translation of sentence i is at position i.
    """
    right: np.ndarray = (nearest == np.arange(len(nearest))).astype(np.float64)
    return right


def f1(nearest: np.ndarray) -> np.ndarray:
    """Each position's F1 as a class that the search predicts; float64 (sentences,).

    The mean is mteb's F1 (arXiv 2210.07316, `BitextMining`): the average over positions of
    `sklearn.metrics.f1_score` of the positions found against the true ones. Position i is right for one
    sentence. If that sentence finds it, recall is 1 and precision 1 / c, c the number of sentences that
    find it, so F1 = 2 / (1 + c); else F1 = 0. A sentence that attracts many others costs them all.

    Args:
        nearest: as for `accuracy`.
    """
    found = np.bincount(nearest, minlength=len(nearest))
    values: np.ndarray = accuracy(nearest) * 2 / (1 + found)
    return values


METRICS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = MappingProxyType({"accuracy": accuracy, "f1": f1})


@dataclass(frozen=True)
class _Direction:
    """Sentences of one side of a pair searched among those of the other."""

    pair: SentencePairs
    side: int
    values: dict[str, np.ndarray]

    @property
    def query_language(self) -> str:
        return self.pair.languages[self.side]

    @property
    def candidate_language(self) -> str:
        return self.pair.languages[1 - self.side]

    def means(self) -> dict[str, float]:
        return {key: float(values.mean()) for key, values in self.values.items()}


def evaluate_bitext(
    embedder: Embedder,
    bitext: Bitext,
    *,
    run: Mapping[str, Any] | None = None,
    progress: bool = True,
) -> Results:
    """Embed every sentence once and search in both directions of every pair.

    Neighbours are nearest by cosine, exactly; of equally near ones the first line wins, as in faiss's flat
    index, which XTREME uses. All of it is the cross-lingual setting: `cross_lingual` averages over the
    directed pairs, `per_language` over those with queries of the language, and `per_pair[X][Y]` searches
    sentences of X among those of Y. XTREME searches the English sentences among the foreign ones, so its
    average is `per_language["en"]`; mteb searches the foreign ones among the English.

    Args:
        embedder: the model.
        bitext: what to evaluate on.
        run: what the training run was, for metrics.json; None for a model that was not trained here.
        progress: whether to show a progress bar.

    Raises:
        UserError: the model gives NaN or infinite embeddings.
    """
    started = time.perf_counter()
    sides = [(pair, side) for pair in bitext.pairs for side in (0, 1)]
    ids = [identifier for pair, side in sides for identifier in pair.ids(side)]
    texts = [sentence for pair, side in sides for sentence in pair.sentences[side]]
    title = f"{bitext.name}: {len(texts):,} sentences" if progress else None
    embeddings = embedder.embed(ids, texts, bitext.kind, title=title)
    check_embeddings(embeddings, ids, f"{bitext.name}: embeddings")
    encoded = time.perf_counter()
    ends = np.cumsum([len(pair.sentences[side]) for pair, side in sides])
    of_side = np.split(_unit_length(embeddings), ends[:-1])
    directions = []
    for number, (pair, side) in enumerate(sides):
        nearest = nearest_positions(of_side[number], of_side[number + 1 - 2 * side])
        directions.append(_Direction(pair, side, {key: metric(nearest) for key, metric in METRICS.items()}))
    metrics = {
        "schema": SCHEMA,
        "model": embedder.name,
        "benchmark": bitext.name,
        "run": dict(run) if run is not None else None,
        "counts": _counts(directions),
        **_averages(directions),
        "per_query": PER_QUERY_FILE,
        "seconds": {"encode": encoded - started, "rank": time.perf_counter() - encoded},
        "environment": environment(),
    }
    return Results(metrics, _per_query(directions))


def nearest_positions(queries: np.ndarray, candidates: np.ndarray) -> np.ndarray:
    """Position of the candidate with the greatest inner product, the first of equal ones; int64 (queries,).

    Args:
        queries: float32 (queries, dimension).
        candidates: float32 (candidates, dimension).
    """
    ranking = rank_relevant(
        queries,
        candidates,
        candidate_language=np.zeros(len(candidates), dtype=np.int64),
        languages=1,
        tie_order=np.arange(len(candidates)),
        relevant_offsets=np.zeros(len(queries) + 1, dtype=np.int64),
        relevant=np.empty(0, dtype=np.int64),
        top=1,
    )
    return ranking.top[:, 0].astype(np.int64)


def _unit_length(embeddings: np.ndarray) -> np.ndarray:
    norms = np.linalg.norm(embeddings, axis=1, keepdims=True)
    units: np.ndarray = embeddings / np.maximum(norms, np.finfo(np.float32).tiny)
    return units


def _counts(directions: list[_Direction]) -> dict[str, Any]:
    """Sentences by language, summed over the pairs; `pool` is that of the largest search."""
    queries: dict[str, int] = {}
    candidates: dict[str, int] = {}
    for of in directions:
        size = len(of.pair.sentences[0])
        queries[of.query_language] = queries.get(of.query_language, 0) + size
        candidates[of.candidate_language] = candidates.get(of.candidate_language, 0) + size
    return {
        "queries": dict(sorted(queries.items())),
        "candidates": dict(sorted(candidates.items())),
        "pool": max(len(of.pair.sentences[0]) for of in directions),
    }


def _averages(directions: list[_Direction]) -> dict[str, Any]:
    per_pair: dict[str, dict[str, dict[str, float]]] = {}
    for of in sorted(directions, key=lambda of: (of.query_language, of.candidate_language)):
        per_pair.setdefault(of.query_language, {})[of.candidate_language] = of.means()
    return {
        "monolingual": {},
        "cross_lingual": _mean_of([of.means() for of in directions]),
        "multilingual": {},
        "language_bias": {},
        "per_language": {
            code: {"monolingual": {}, "cross_lingual": _mean_of(list(others.values())), "multilingual": {}}
            for code, others in per_pair.items()
        },
        "per_document_language": {},
        "confusion": {},
        "per_pair": per_pair,
    }


def _mean_of(values: list[dict[str, float]]) -> dict[str, float]:
    return {key: float(np.mean([of[key] for of in values])) for key in METRICS}


def _per_query(directions: list[_Direction]) -> pa.Table:
    """One row a sentence; `candidate_language` tells the searches of one language apart."""
    lines = [(of, line) for of in directions for line in range(len(of.pair.sentences[0]))]
    return pa.table(
        {
            "query_id": pa.array([i for of in directions for i in of.pair.ids(of.side)]),
            "group": pa.array([f"{of.pair.name}:{line + 1}" for of, line in lines]),
            "language": pa.array([of.query_language for of, _ in lines]),
            "candidate_language": pa.array([of.candidate_language for of, _ in lines]),
            **{
                f"cross_lingual/{key}": pa.array(np.concatenate([of.values[key] for of in directions]))
                for key in METRICS
            },
        }
    )
