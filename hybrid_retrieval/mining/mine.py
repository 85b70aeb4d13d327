"""Hard negatives of one parallel corpus, by the embeddings of a model."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.mining.candidates import candidate_passages, distinct_pairs, find_exclusions
from hybrid_retrieval.mining.embeddings import embed_parallel
from hybrid_retrieval.mining.nearest import find_nearest
from hybrid_retrieval.mining.select import Selection, select_negatives
from hybrid_retrieval.mining.settings import MiningSettings
from hybrid_retrieval.mining.statistics import found_in, statistics_of
from hybrid_retrieval.sampling.triples import BoolArray, IntArray

SCHEMA = 1


@dataclass(frozen=True)
class Mined:
    """The hard negatives of a split, for every question and positive.

    Attributes:
        corpus: the split.
        languages: those that were searched.
        queries: int64 (triples,), query ids; triples that have both texts in none of the languages are left
            out, and of those with one query and one positive all but the first.
        has_query: bool (triples, languages).
        positives: int64 (triples,), passage ids.
        positive_scores: float32 (triples,).
        negatives: int64 (triples, k), passage ids, -1 where a triple has fewer.
        scores: float32 (triples, k), -inf where there is none.
        query_language: int64 (triples, k), position in `languages` of the query that found the negative.
        passage_language: int64 (triples, k), the same of the passage that was found.
        statistics: content of `mining.json`.
    """

    corpus: ParallelCorpus
    languages: tuple[str, ...]
    queries: IntArray
    has_query: BoolArray
    positives: IntArray
    positive_scores: np.ndarray
    negatives: IntArray
    scores: np.ndarray
    query_language: IntArray
    passage_language: IntArray
    statistics: dict[str, Any]

    def by_pair(self) -> dict[tuple[str, str], list[str]]:
        """The source's ids of the negatives, by row id and passage id of the positive."""
        rows, passages = _ids(self.corpus, "queries"), _ids(self.corpus, "passages")
        columns = zip(self.queries.tolist(), self.positives.tolist(), self.negatives.tolist(), strict=True)
        return {
            (str(rows[query]), str(passages[positive])): [str(passages[n]) for n in of if n >= 0]
            for query, positive, of in columns
        }


def mine(
    corpus: ParallelCorpus,
    embedder: Embedder,
    settings: MiningSettings,
    *,
    languages: Sequence[str] | None = None,
    seed: int = 0,
    device: torch.device | str = "cpu",
    scratch: Path | None = None,
    progress: bool = False,
) -> Mined:
    """Find hard negatives for every question of a split, and for each of its positives.

    Memory holds the embeddings of one language at a time, the rest lies in files of
    4 x dimension x languages x (questions + candidates) bytes, removed at the end.

    Args:
        corpus: the split.
        embedder: the model.
        settings: what is a hard negative.
        languages: those of queries and passages to search; None for all.
        seed: of `sampling: random`.
        device: where to search.
        scratch: folder for the embeddings; None is the system's.
        progress: whether to show progress bars.

    Raises:
        UserError: the corpus lacks a language, or has no such rows; the setting has no pair of languages; no
            question has a negative left.
    """
    codes = _languages(corpus, languages)
    if settings.setting == "cross_lingual" and len(codes) == 1:
        raise UserError(
            f"mine.setting=cross_lingual needs two languages, but {corpus.name} is searched in {codes[0]} "
            "alone. Set mine.setting=monolingual."
        )
    started = time.perf_counter()
    columns = [corpus.languages.index(code) for code in codes]
    triples = distinct_pairs(corpus)
    runs = corpus.availability.run_of(triples)
    written = corpus.availability.both()[runs][:, columns].any(axis=1)
    has, triples = corpus.availability.query[runs[written]][:, columns], triples[written]
    if not len(triples):
        raise UserError(
            f"{corpus.name} has no questions in split={corpus.split} and {', '.join(codes)}. Choose another "
            "split or other data.languages."
        )
    queries = corpus.queries(triples)
    candidates = candidate_passages(corpus, codes, settings.candidates)
    exclusions = find_exclusions(corpus, triples, candidates, codes, existing=settings.keep_existing)

    def query_texts(language: str) -> list[str | None]:
        exists = has[:, codes.index(language)]
        return [
            corpus.query_text(language, int(query)) if there else None
            for query, there in zip(queries, exists, strict=True)
        ]

    def passage_texts(language: str) -> list[str | None]:
        return [corpus.passage_text(language, int(passage)) for passage in candidates]

    def title(count: int, what: str) -> str | None:
        return f"{corpus.name}: {count:,} {what}" if progress else None

    row_ids, passage_ids = _ids(corpus, "queries"), _ids(corpus, "passages")
    of_queries = embed_parallel(
        embedder,
        [str(row_ids[int(query)]) for query in queries],
        query_texts,
        codes,
        kind="query",
        scratch=scratch,
        title=title(len(queries), "questions"),
    )
    of_passages = embed_parallel(
        embedder,
        [str(passage_ids[int(passage)]) for passage in candidates],
        passage_texts,
        codes,
        kind="passage",
        scratch=scratch,
        title=title(len(candidates), "passages"),
    )
    embedded = time.perf_counter()
    positives = corpus.positives(triples)
    nearest = find_nearest(
        of_queries,
        of_passages,
        np.searchsorted(candidates, positives),
        exclusions,
        settings,
        device=device,
        title=title(len(queries), "questions searched"),
    )
    selection = select_negatives(nearest, settings, queries, candidates, seed=seed, name=corpus.name)
    _check_any(corpus, selection)
    found = found_in(of_queries, of_passages, selection.candidates, settings)
    numbers = statistics_of(
        nearest,
        selection,
        excluded=exclusions.counts,
        found=found,
        passages=of_passages,
        languages=codes,
        k=settings.k,
    )
    statistics = {
        "schema": SCHEMA,
        "model": embedder.name,
        "data": corpus.name,
        "split": corpus.split,
        "languages": list(codes),
        "settings": {**asdict(settings), "seed": seed},
        **numbers,
        "seconds": {"embed": embedded - started, "search": time.perf_counter() - embedded},
    }
    return Mined(
        corpus=corpus,
        languages=codes,
        queries=queries,
        has_query=has,
        positives=positives,
        positive_scores=nearest.positive_scores,
        negatives=np.where(selection.candidates < 0, -1, candidates[selection.candidates]),
        scores=selection.scores,
        query_language=found[0],
        passage_language=found[1],
        statistics=statistics,
    )


def _languages(corpus: ParallelCorpus, languages: Sequence[str] | None) -> tuple[str, ...]:
    if languages is None:
        return corpus.languages
    missing = sorted(set(languages) - set(corpus.languages))
    if missing or not languages:
        raise UserError(
            f"{corpus.name} has no data in {', '.join(missing) or 'an empty list of languages'}: choose "
            f"data.languages from {', '.join(corpus.languages)}."
        )
    return tuple(sorted(set(languages)))


def _check_any(corpus: ParallelCorpus, selection: Selection) -> None:
    if not selection.counts().any():
        raise UserError(f"{corpus.name}: no question has a hard negative left. {loosen(selection.filtered)}")


def loosen(filtered: Mapping[str, int]) -> str:
    """What to change where too few candidates are left: the rule that dropped most of them."""
    rule = max(filtered, key=lambda name: filtered[name], default=None)
    if rule is None or not filtered[rule]:
        return "Widen the range with mine.range_max, lower mine.range_min, or set mine.candidates=corpus."
    change = "raise" if rule == "max_score" else "lower"
    return (
        f"mine.{rule} dropped most ({filtered[rule]:,} candidates): {change} it, set it to null, or raise "
        "mine.range_max."
    )


def _ids(corpus: ParallelCorpus, kind: str) -> MappedTexts:
    return MappedTexts(corpus.folder / "ids" / f"{kind}.arrow")
