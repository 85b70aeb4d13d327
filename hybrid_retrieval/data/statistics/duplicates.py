"""Equal texts: under different ids in one language, and under one id in two languages."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.statistics.text_hashes import MISSING, HashArray, mixed
from hybrid_retrieval.sampling.triples import IntArray

EXAMPLES = 5
PART = 1 << 20  # triples
Names = Callable[[Sequence[int]], list[str]]


def repeats(hashes: HashArray, ids: IntArray, names: Names) -> dict[str, Any]:
    """How many things repeat an earlier one: what there would be less of if each were kept once.

    Args:
        hashes: uint64 (n,), equal for equal things.
        ids: int64 (n,), ascending.
        names: what the source calls ids.

    Returns:
        `count`, and `examples`: pairs of names, the repeated thing and one that repeats it.
    """
    order = np.argsort(hashes, kind="stable")
    same = hashes[order[1:]] == hashes[order[:-1]]
    firsts = np.flatnonzero(same & ~np.concatenate([[False], same[:-1]]))
    shown = firsts[np.argsort(order[firsts], kind="stable")[:EXAMPLES]]
    return {
        "count": int(same.sum()),
        "examples": [names(ids[order[at : at + 2]].tolist()) for at in shown.tolist()],
    }


def text_pairs(splits: Sequence[ParallelCorpus], language: str) -> tuple[IntArray, IntArray]:
    """The different (query, positive) of the rows of a language, in all splits.

    Memory is proportional to these, and does not depend on how many triples share them.

    Returns:
        Query ids and passage ids, int64 (n,), in ascending order of the queries.
    """
    passages = max(splits[0].passage_count, 1)
    keys: list[IntArray] = [np.empty(0, dtype=np.int64)]
    for corpus in splits:
        available = corpus.availability
        column = available.both()[:, corpus.languages.index(language)]
        for run in np.flatnonzero(column).tolist():
            start, stop = available.starts[run : run + 2].tolist()
            for first in range(start, stop, PART):
                rows = np.arange(first, min(first + PART, stop))
                keys.append(np.unique(corpus.queries(rows) * passages + corpus.positives(rows)))
                if sum(map(len, keys[1:])) > max(PART, len(keys[0])):
                    keys = [np.unique(np.concatenate(keys))]
    queries, positives = np.divmod(np.unique(np.concatenate(keys)), passages)
    return queries, positives


def pair_hashes(queries: HashArray, passages: HashArray) -> HashArray:
    """One hash of two."""
    return mixed(mixed(queries) + passages)


def equal_in_two(hashes: Sequence[HashArray], languages: Sequence[str], names: Names) -> dict[str, Any]:
    """Texts that are equal in two languages.

    Args:
        hashes: of each language, uint64 (ids,).
        languages: their codes.
        names: what the source calls ids.

    Returns:
        `count`, the texts of a language that some other language has too under their id; `by_language`, the
        same of each language; and `pairs`, for `de/en` and so on `count`, `of` (texts that both have) and
        `examples`; pairs without equal texts are left out.
    """
    pairs: dict[str, Any] = {}
    shared = [np.zeros(len(own), dtype=np.bool_) for own in hashes]
    for first in range(len(languages)):
        for second in range(first + 1, len(languages)):
            there = (hashes[first] != MISSING) & (hashes[second] != MISSING)
            equal = there & (hashes[first] == hashes[second])
            shared[first] |= equal
            shared[second] |= equal
            if count := int(equal.sum()):
                pairs[f"{languages[first]}/{languages[second]}"] = {
                    "count": count,
                    "of": int(there.sum()),
                    "examples": names(np.flatnonzero(equal)[:EXAMPLES].tolist()),
                }
    by_language = {code: int(own.sum()) for code, own in zip(languages, shared, strict=True)}
    return {"count": sum(by_language.values()), "by_language": by_language, "pairs": pairs}
