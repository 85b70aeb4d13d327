"""The passages that may become negatives, and those that may not for a given question."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.mining.settings import Candidates
from hybrid_retrieval.sampling.triples import IntArray

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Exclusions:
    """The candidates that each triple may not have, whatever their score.

    Attributes:
        offsets: int64 (triples + 1,).
        candidates: int64, positions among the candidates, those of a triple one after another, each once.
        counts: how many (triple, candidate) each rule excludes that no rule before it does.
    """

    offsets: IntArray
    candidates: IntArray
    counts: Mapping[str, int]

    def pairs(self, start: int, stop: int) -> tuple[IntArray, IntArray]:
        """Triple, counted from `start`, and candidate of every exclusion of the triples in a range."""
        counts = np.diff(self.offsets[start : stop + 1])
        triples = np.repeat(np.arange(stop - start), counts)
        return triples, self.candidates[self.offsets[start] : self.offsets[stop]]


def existing_negatives(corpus: ParallelCorpus) -> IntArray:
    """The hard negatives that each triple has already.

    Returns:
        Passage ids int64 (triples, most of any triple), -1 where a triple has fewer.
    """
    offsets = np.load(
        corpus.folder / "splits" / corpus.split / "negative_offsets.npy", mmap_mode="r", allow_pickle=False
    )
    most = int(np.diff(offsets).max(initial=0))
    return corpus.negatives(np.arange(len(corpus)), most)


def all_splits(corpus: ParallelCorpus) -> list[ParallelCorpus]:
    """The splits of a corpus in the order of `SPLITS`, the one that is given among them."""
    return [
        corpus if split == corpus.split else ParallelCorpus.open(corpus.folder, split) for split in SPLITS
    ]


def distinct_pairs(corpus: ParallelCorpus) -> IntArray:
    """The first triple of every query and positive: triples that differ in hard negatives alone count once.

    Returns:
        Positions in the split, int64, ascending.
    """
    everything = np.arange(len(corpus), dtype=np.int64)
    pairs = np.stack([corpus.queries(everything), corpus.positives(everything)])
    return np.sort(np.unique(pairs, axis=1, return_index=True)[1])


def row_passages(corpus: ParallelCorpus, languages: Sequence[str]) -> IntArray:
    """The positives of all splits that have, with their query, a text in some language.

    They are the passages of the rows that `write_corpus` writes, and so those that it can name. In a corpus
    of rows these are all passages that have a text in some language; other sources have passages that are
    nobody's positive.

    Returns:
        Passage ids int64, ascending.
    """
    columns = [corpus.languages.index(code) for code in languages]
    found = [np.empty(0, dtype=np.int64)]
    for part in all_splits(corpus):
        everything = np.arange(len(part), dtype=np.int64)
        both = part.availability.both()[part.availability.run_of(everything)][:, columns].any(axis=1)
        found.append(part.positives(everything[both]))
    return np.unique(np.concatenate(found))


def candidate_passages(corpus: ParallelCorpus, languages: Sequence[str], which: Candidates) -> IntArray:
    """The passages to search, of those that can be written.

    Args:
        corpus: a split.
        languages: a candidate has a row in one of them (`row_passages`).
        which: "split" takes positives and hard negatives of this split, "corpus" all passages.

    Returns:
        Passage ids int64, ascending.
    """
    if which == "corpus":
        passages = np.arange(corpus.passage_count, dtype=np.int64)
    else:
        named = existing_negatives(corpus)
        passages = np.union1d(corpus.positives(np.arange(len(corpus))), named[named >= 0])
    writable = np.isin(passages, row_passages(corpus, languages))
    others = passages[~writable].tolist()
    lost = sum(any(corpus.passage_text(code, p) is not None for code in languages) for p in others)
    if lost:
        logger.warning(
            "%s: %s passages are no candidates, because they are the positive of no question and the JSON "
            "lines that mine writes have one a row",
            corpus.name,
            f"{lost:,}",
        )
    return passages[writable]


def find_exclusions(
    corpus: ParallelCorpus,
    triples: IntArray,
    candidates: IntArray,
    languages: Sequence[str],
    *,
    existing: bool = False,
) -> Exclusions:
    """What may not be a negative of each triple.

    In this order: its own positive (`positive`); the other positives of its question, in whatever language,
    and those of all questions, of any split, that have the same text in some language (`same_question`);
    passages whose text equals that of one of these positives in some language (`duplicate_text`); with
    `existing`, the hard negatives that a triple of the same question and positive has already (`existing`).
    Texts are equal up to white space. An id is excluded in every language.

    Args:
        corpus: a split.
        triples: int64 (n,), positions in it.
        candidates: int64, passage ids, ascending.
        languages: the languages whose texts count.
        existing: whether to exclude existing hard negatives.
    """
    position = {int(passage): at for at, passage in enumerate(candidates)}
    positives = corpus.positives(triples)
    answers = _answers(corpus, triples, languages)
    twins = _twins(corpus, languages)
    queries = corpus.queries(triples)
    named = _named(corpus) if existing else {}
    counts = dict.fromkeys(("positive", "same_question", "duplicate_text", "existing"), 0)
    offsets, excluded = [0], list[int]()
    for row, (query, positive) in enumerate(zip(queries.tolist(), positives.tolist(), strict=True)):
        seen: set[int] = set()
        same = {positive, *answers.get(row, ())}
        rules: tuple[tuple[str, Iterable[int]], ...] = (
            ("positive", (positive,)),
            ("same_question", same),
            ("duplicate_text", {twin for passage in same for twin in twins.get(passage, ())}),
            ("existing", named.get((query, positive), ())),
        )
        for rule, passages in rules:
            new = {position[p] for p in passages if p in position} - seen
            counts[rule] += len(new)
            seen.update(new)
        excluded += sorted(seen)
        offsets.append(len(excluded))
    return Exclusions(np.array(offsets, dtype=np.int64), np.array(excluded, dtype=np.int64), counts)


def _named(corpus: ParallelCorpus) -> dict[tuple[int, int], set[int]]:
    """The hard negatives of the triples, by query and positive."""
    everything = np.arange(len(corpus))
    columns = corpus.queries(everything).tolist(), corpus.positives(everything).tolist()
    named: dict[tuple[int, int], set[int]] = defaultdict(set)
    for query, positive, negatives in zip(*columns, existing_negatives(corpus).tolist(), strict=True):
        named[query, positive].update(negatives)
    return named


def _answers(corpus: ParallelCorpus, triples: IntArray, languages: Sequence[str]) -> dict[int, set[int]]:
    """Positives of the question and of those with the same text in some language, by row of `triples`."""
    splits = all_splits(corpus)
    positives: dict[int, set[int]] = defaultdict(set)
    for part in splits:
        everything = np.arange(len(part))
        for query, positive in zip(part.queries(everything), part.positives(everything), strict=True):
            positives[int(query)].add(int(positive))
    same = [{int(query)} for query in corpus.queries(triples)]
    for language in languages:
        by_text: dict[str, set[int]] = defaultdict(set)
        for part in splits:
            everything = np.arange(len(part))
            queries = part.queries(everything)
            for triple, text in _questions(part, everything, language):
                by_text[text].add(int(queries[triple]))
        for row, text in _questions(corpus, triples, language):
            same[row] |= by_text[text]
    return {row: set().union(*(positives[query] for query in queries)) for row, queries in enumerate(same)}


def _questions(corpus: ParallelCorpus, triples: IntArray, language: str) -> Iterator[tuple[int, str]]:
    """Position among `triples` and text, of those that have the question in a language."""
    column = corpus.languages.index(language)
    has = corpus.availability.query[corpus.availability.run_of(triples), column]
    queries = corpus.queries(triples)
    for row in np.flatnonzero(has):
        yield int(row), _squeezed(corpus.query_text(language, int(queries[row])))


def _twins(corpus: ParallelCorpus, languages: Sequence[str]) -> dict[int, set[int]]:
    """The other passages with an equal text in some language, by passage; none where there are none."""
    twins: dict[int, set[int]] = defaultdict(set)
    for language in languages:
        by_text: dict[str, list[int]] = defaultdict(list)
        for passage in range(corpus.passage_count):
            text = corpus.passage_text(language, passage)
            if text is not None:
                by_text[_squeezed(text)].append(passage)
        for passages in by_text.values():
            if len(passages) > 1:
                for passage in passages:
                    twins[passage].update(passages)
    return twins


def _squeezed(text: str) -> str:
    return " ".join(text.split())
