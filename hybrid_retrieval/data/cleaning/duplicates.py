"""Rows whose question and passage are those of an earlier row of their language."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from hybrid_retrieval.data.cleaning.normalise import Hashes
from hybrid_retrieval.sampling.triples import BoolArray, IntArray

Rows = tuple[IntArray, IntArray, IntArray, IntArray]
"""Triple, query and passage of each row, and its place in the order, int64 (rows,) each."""


class Repeating(NamedTuple):
    """Rows that repeat an earlier one.

    Attributes:
        triple: int64 (n,), ascending.
        query: int64 (n,).
        passage: int64 (n,).
        of_query: int64 (n,), the query of the first row with these texts, which stays.
        of_passage: int64 (n,), its passage.
    """

    triple: IntArray
    query: IntArray
    passage: IntArray
    of_query: IntArray
    of_passage: IntArray


def exact_duplicates(rows: Callable[[], Iterator[Rows]], queries: Hashes, passages: Hashes) -> Repeating:
    """The rows that repeat an earlier one.

    Triples of one query id and one passage id, which differ in their hard negatives, are one pair and do not
    repeat each other; if another pair repeats theirs, all of it is found.

    Args:
        rows: gives the rows of a language, in parts.
        queries: uint64 (queries,), hash of each question.
        passages: uint64 (passages,), hash of each passage.
    """
    query_text, query_shared = _numbered(queries)
    passage_text, passage_shared = _numbered(passages)
    found: list[list[IntArray]] = [[], [], [], []]
    for triple, query, passage, place in rows():
        # Only these can have the texts of a row with other ids.
        some = query_shared[query] | passage_shared[passage]
        pair = query[some] * len(passages) + passage[some]
        texts = query_text[query[some]].astype(np.int64) * len(passages) + passage_text[passage[some]]
        for column, values in zip(found, (texts, place[some], pair, triple[some]), strict=True):
            column.append(values)
    texts, place, pair, triple = (np.concatenate([np.empty(0, dtype=np.int64), *column]) for column in found)
    order = np.lexsort((place, texts))
    texts, pair, triple = texts[order], pair[order], triple[order]
    new = np.ones(len(texts), dtype=np.bool_)
    new[1:] = texts[1:] != texts[:-1]
    first = pair[np.flatnonzero(new)[np.cumsum(new) - 1]]
    repeating = np.flatnonzero(pair != first)
    repeating = repeating[np.argsort(triple[repeating])]
    return Repeating(
        triple[repeating],
        *np.divmod(pair[repeating], len(passages)),
        *np.divmod(first[repeating], len(passages)),
    )


def _numbered(hashes: Hashes) -> tuple[IntArray, BoolArray]:
    """One number for the texts of each hash, and which texts share theirs with another."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    new = np.ones(len(hashes), dtype=np.bool_)
    new[1:] = ordered[1:] != ordered[:-1]
    number = np.empty(len(hashes), dtype=np.int64)
    number[order] = np.cumsum(new) - 1
    shared = np.empty(len(hashes), dtype=np.bool_)
    shared[order] = (~new | ~np.append(new[1:], True)[: len(new)]) & (ordered != 0)
    return number, shared
