"""The splits of a joined corpus, and the arrays of each."""

import hashlib
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from hybrid_retrieval.data.join import Joined
from hybrid_retrieval.data.joined_triples import TripleFiles
from hybrid_retrieval.data.parallel import SPLITS
from hybrid_retrieval.data.spool import SPLIT_NUMBER
from hybrid_retrieval.sampling.triples import Availability, BoolArray, IntArray

PART = 1 << 20
IntegerArray = npt.NDArray[np.integer[Any]]


def drawn_splits(triples: TripleFiles, joined: Joined, validation_fraction: float) -> npt.NDArray[np.int8]:
    """Position in `SPLITS` of the split that each positive passage draws, by its id alone.

    Passages that are positives of one query draw together, by the smallest of their ids, so that a query is
    in one split too.

    Args:
        triples: those that state no split count.
        joined: the ids.
        validation_fraction: expected share of passages drawn into validation; the rest is train.

    Returns:
        int8 (passages,); train for passages that are no positive.
    """
    splits = np.full(len(joined.passages), SPLIT_NUMBER["train"], dtype=np.int8)
    if validation_fraction == 0:
        return splits
    used = np.zeros(len(joined.passages), dtype=np.bool_)
    first = np.full(len(joined.queries), -1, dtype=np.int64)  # some positive of each query
    links: list[IntArray] = []
    for part in triples.parts(PART):
        free = triples.column("split", part.start, part.stop) < 0
        query = triples.column("query", part.start, part.stop)[free]
        positive = triples.column("positive", part.start, part.stop)[free].astype(np.int64)
        used[positive] = True
        new = first[query] < 0
        first[query[new]] = positive[new]
        other = positive != first[query]
        links.append(np.unique(np.stack([first[query[other]], positive[other]]), axis=1))
    drawing = _smallest_linked_ids(np.concatenate([np.empty((2, 0), dtype=np.int64), *links], axis=1), joined)
    for passage in np.flatnonzero(used).tolist():
        if _uniform(drawing.get(passage) or joined.passages.name(passage)) < validation_fraction:
            splits[passage] = SPLIT_NUMBER["validation"]
    return splits


def _smallest_linked_ids(links: IntArray, joined: Joined) -> dict[int, str]:
    """The smallest id of the passages that each linked passage is linked to, over any number of links."""
    passages, ends = np.unique(links, return_inverse=True)
    ends = ends.reshape(links.shape)
    ones = np.ones(links.shape[1], dtype=np.bool_)
    graph = coo_array((ones, (ends[0], ends[1])), shape=(len(passages), len(passages)))
    _, groups = connected_components(graph, directed=False)
    names = [joined.passages.name(passage) for passage in passages.tolist()]
    of_group: dict[int, list[str]] = defaultdict(list)
    for name, group in zip(names, groups.tolist(), strict=True):
        of_group[group].append(name)
    smallest = {group: min(members) for group, members in of_group.items()}
    return {
        passage: smallest[group] for passage, group in zip(passages.tolist(), groups.tolist(), strict=True)
    }


def _uniform(passage_id: str) -> float:
    """A number in [0, 1) that depends on the id alone."""
    return int.from_bytes(hashlib.sha256(passage_id.encode()).digest()[:8]) / 2**64


@dataclass(frozen=True)
class LanguageSets:
    """The different sets of languages that things have, as numbers, the complete set first.

    Attributes:
        number: (n,), number of each thing's set.
        members: bool (sets, languages).
    """

    number: IntegerArray
    members: BoolArray

    @classmethod
    def of(cls, has: BoolArray) -> "LanguageSets":
        """Number the columns of a bool array (languages, n)."""
        number = np.zeros(has.shape[1], dtype=np.int64)
        for block in range(0, len(has), 32):
            lacks = np.zeros(has.shape[1], dtype=np.int64)
            for row in has[block : block + 32]:
                lacks = 2 * lacks + ~row
            sets, first, number = np.unique((number << 32) + lacks, return_index=True, return_inverse=True)
        return cls(number.astype(np.min_scalar_type(len(sets))), np.ascontiguousarray(has[:, first].T))


class SortedTriples:
    """Triples in the order of a prepared corpus: by split, then by the languages of query and of positive.

    Memory is proportional to the triples, about 15 bytes each.

    Args:
        triples: all of them.
        joined: the ids.
        passage_splits: int8 (passages,), split of the triples that state none, by their positive.
        needed: columns of languages; a triple without query or positive in one of them is left out.
        kept: of every triple the languages in which it stays, or None for all; a triple that has lost all its
            queries, or all its positives, is left out.
    """

    def __init__(
        self,
        triples: TripleFiles,
        joined: Joined,
        passage_splits: npt.NDArray[np.int8],
        needed: Sequence[int] = (),
        kept: LanguageSets | None = None,
    ) -> None:
        self._triples = triples
        masks = triples.column("languages").reshape(-1, len(joined.has_query)).T if triples.masked else None
        self._queries = LanguageSets.of(joined.has_query if masks is None else masks)
        self._passages = LanguageSets.of(joined.has_passage)
        everywhere = np.ones((1, len(joined.has_query)), dtype=np.bool_)
        self._kept = everywhere if kept is None else kept.members
        kinds = len(self._queries.members), len(self._passages.members), len(self._kept)
        left_out = len(SPLITS) * kinds[0] * kinds[1] * kinds[2]
        query_complete = np.asarray(self._queries.members[:, needed].all(1))
        passage_complete = np.asarray(self._passages.members[:, needed].all(1))
        code = np.empty(len(triples), dtype=np.min_scalar_type(left_out))
        for part in triples.parts(PART):
            positive = triples.column("positive", part.start, part.stop)
            stated = triples.column("split", part.start, part.stop)
            split = np.where(stated >= 0, stated, passage_splits[positive]).astype(np.int64)
            query = triples.column("query", part.start, part.stop) if masks is None else part
            of_query, of_passage = self._queries.number[query], self._passages.number[positive]
            complete = query_complete[of_query] & passage_complete[of_passage]
            value = (split * kinds[0] + of_query) * kinds[1] + of_passage
            if kept is not None:
                members = kept.members[kept.number[part]]
                complete &= members[:, needed].all(1)
                complete &= (self._queries.members[of_query] & members).any(1)
                complete &= (self._passages.members[of_passage] & members).any(1)
                value = value * kinds[2] + kept.number[part]
            code[part] = np.where(complete, value, left_out)
        self._order: IntArray | None = None
        if (code[1:] < code[:-1]).any():
            self._order = np.argsort(code, kind="stable")
            code = code[self._order]
        self._code = code[: np.searchsorted(code, left_out)]
        self._bounds = np.searchsorted(
            self._code, np.arange(len(SPLITS) + 1) * (kinds[0] * kinds[1] * kinds[2])
        ).tolist()

    def __len__(self) -> int:
        return len(self._code)

    def write(self, split: int, folder: Path) -> "SplitCounts":
        """Write the arrays of one split.

        Args:
            split: position in `SPLITS`.
            folder: a new folder to write to.
        """
        start, stop = self._bounds[split : split + 2]
        folder.mkdir(parents=True)
        availability = self._availability(start, stop)
        for name, array in (
            ("starts", availability.starts),
            ("query", availability.query),
            ("passage", availability.passage),
        ):
            np.save(folder / f"run_{name}.npy", array, allow_pickle=False)
        for name in ("query", "positive"):
            column = self._triples.column(name)
            _write_array(
                folder / f"{name}.npy",
                column.dtype,
                stop - start,
                (column[rows] for rows in self._rows(start, stop)),
            )
            if name == "positive":
                seen = np.zeros(int(column.max(initial=-1)) + 1, dtype=np.bool_)
                for rows in self._rows(start, stop):
                    seen[column[rows]] = True
        self._write_negatives(start, stop, folder)
        return SplitCounts(stop - start, int(seen.sum()), availability)

    def _availability(self, start: int, stop: int) -> Availability:
        code = self._code[start:stop]
        firsts = np.concatenate([[0], np.flatnonzero(code[1:] != code[:-1]) + 1]).astype(np.int64)[
            : len(code)
        ]
        kinds = code[firsts].astype(np.int64)
        kinds, of_kept = np.divmod(kinds, len(self._kept))
        kept = self._kept[of_kept]
        passages = len(self._passages.members)
        return Availability(
            starts=np.append(firsts, len(code)),
            query=self._queries.members[kinds // passages % len(self._queries.members)] & kept,
            passage=self._passages.members[kinds % passages] & kept,
        )

    def _rows(self, start: int, stop: int) -> Iterator[IntArray | slice]:
        """Where the triples of a range stand in the files, in parts."""
        for first in range(start, stop, PART):
            rows = slice(first, min(first + PART, stop))
            yield rows if self._order is None else self._order[rows]

    def _write_negatives(self, start: int, stop: int, folder: Path) -> None:
        each, triples = self._triples.negatives_each, self._triples
        negatives = triples.column("negatives")
        if each is not None:
            offsets = np.arange(stop - start + 1, dtype=np.int64) * each
            table = negatives.reshape(-1, each) if each else negatives.reshape(len(triples), 0)
            parts = (table[rows] for rows in self._rows(start, stop))
        else:
            counts = triples.column("negative_counts").astype(np.int64)
            starts = np.cumsum(counts) - counts
            offsets = np.zeros(stop - start + 1, dtype=np.int64)
            for at, rows in zip(range(1, stop - start + 1, PART), self._rows(start, stop), strict=True):
                of_rows = counts[rows]
                offsets[at : at + len(of_rows)] = of_rows
            np.cumsum(offsets, out=offsets)
            parts = (_ragged(negatives, starts[rows], counts[rows]) for rows in self._rows(start, stop))
        _write_array(folder / "negatives.npy", negatives.dtype, int(offsets[-1]), parts)
        np.save(folder / "negative_offsets.npy", offsets, allow_pickle=False)


def _ragged(values: IntegerArray, starts: IntArray, counts: IntArray) -> IntegerArray:
    """`counts[i]` values from `starts[i]` on, for each i, one after another."""
    before = np.cumsum(counts) - counts
    return np.asarray(values[np.repeat(starts - before, counts) + np.arange(counts.sum())])


def _write_array(path: Path, dtype: np.dtype[Any], count: int, parts: Iterator[IntegerArray]) -> None:
    """Write a one-dimensional `.npy` file in parts."""
    header = {"descr": dtype.str, "fortran_order": False, "shape": (count,)}
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for part in parts:
            np.ascontiguousarray(part).tofile(file)


@dataclass(frozen=True)
class SplitCounts:
    """What was written of a split.

    Attributes:
        triples: how many.
        distinct_positives: different positives among them.
        availability: their languages.
    """

    triples: int
    distinct_positives: int
    availability: Availability
