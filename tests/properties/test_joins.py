"""Prepared corpora against dictionaries: every row of every language comes out as it went in."""

import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.ids import IntegerIds, StringIds
from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from tests.data.memory_reader import MemoryReader
from tests.properties.profiles import EXAMPLES, on

CODES = ("de", "en", "th")
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=6).filter(str.strip)


@st.composite
def sources(draw: st.DrawFn) -> dict[str, list[Row]]:
    """Rows by language: questions with one to three positives, each pair in some of the languages."""
    passages = draw(st.lists(NAMES, min_size=2, max_size=8, unique=True))
    ids = draw(st.lists(NAMES, min_size=1, max_size=8, unique=True))
    # A passage is in the languages of its rows, which must define the hard negatives of others.
    pairs = [
        (i, p)
        for i in ids
        for p in draw(st.lists(st.sampled_from(passages), min_size=1, max_size=3, unique=True))
    ]
    used = sorted({p for _, p in pairs})
    splits = {p: draw(st.sampled_from([None, None, "train", "validation", "test"])) for p in passages}
    stated = draw(st.booleans())
    rows: dict[str, list[Row]] = {code: [] for code in CODES}
    for i, p in pairs:
        others = [other for other in used if (i, other) not in pairs]
        negatives = tuple(draw(st.lists(st.sampled_from(others), max_size=2, unique=True))) if others else ()
        split = (splits[next(q for j, q in pairs if j == i)] or "train") if stated else None
        for code in draw(st.sets(st.sampled_from(CODES), min_size=1)):
            rows[code].append(Row(i, f"{code} q {i}", f"{code} p {p}", p, negatives, split))
    return {code: draw(st.permutations(of)) for code, of in rows.items() if of}


def stored(folder: Path) -> dict[str, dict[str, set[Row]]]:
    """The rows of each language by split, negatives in order of their ids."""
    corpora = [ParallelCorpus.open(folder, split) for split in SPLITS]
    return {
        code: {corpus.split: {plain(row) for row in corpus.rows(code)} for corpus in corpora}
        for code in corpora[0].languages
    }


def plain(row: Row) -> Row:
    return Row(row.id, row.question, row.passage, row.passage_id, tuple(sorted(row.negatives)))


@EXAMPLES
def test_rows_come_out_as_they_went_in(examples: int) -> None:
    @on(min(examples, 300))
    @given(sources(), st.sampled_from([0.0, 0.3, 0.9]))
    def holds(rows: dict[str, list[Row]], fraction: float) -> None:
        with tempfile.TemporaryDirectory() as place:
            build_corpus(MemoryReader(rows), Path(place) / "corpus", validation_fraction=fraction)
            found = stored(Path(place) / "corpus")
        split_of: dict[str, set[str]] = {}
        for code, of in rows.items():
            assert set.union(*found[code].values()) == {plain(row) for row in of}
            assert sum(map(len, found[code].values())) == len(of)
            for split, part in found[code].items():
                for row in part:
                    split_of.setdefault(row.passage_id, set()).add(split)
            for row in of:
                if row.split is not None:
                    assert plain(row) in found[code][row.split]
        if not any(row.split for of in rows.values() for row in of):
            assert all(len(splits) == 1 for splits in split_of.values())

    holds()


@EXAMPLES
def test_complete_rows_are_those_that_every_needed_language_has(examples: int) -> None:
    @on(min(examples, 300))
    @given(sources(), st.sets(st.sampled_from(CODES), min_size=1))
    def holds(rows: dict[str, list[Row]], needed: set[str]) -> None:
        needed &= set(rows)
        in_languages: dict[tuple[str, str], set[str]] = {}
        for code, of in rows.items():
            for row in of:
                in_languages.setdefault((row.id, row.passage_id), set()).add(code)
        # A triple needs its query and its passage in a language, wherever in it they stand.
        has = {code: ({r.id for r in of}, {r.passage_id for r in of}) for code, of in rows.items()}
        kept = {
            pair
            for pair in in_languages
            if all(pair[0] in has[c][0] and pair[1] in has[c][1] for c in needed)
        }
        if not kept or any(pair for pair in kept if not needed <= in_languages[pair]):
            return
        with tempfile.TemporaryDirectory() as place:
            build_corpus(MemoryReader(rows), Path(place) / "corpus", needed=sorted(needed))
            found = stored(Path(place) / "corpus")
        for code, of in rows.items():
            expected = {plain(row) for row in of if (row.id, row.passage_id) in kept}
            assert set.union(*found[code].values()) == expected

    holds()


@EXAMPLES
def test_places_of_ids_equal_those_of_a_dictionary(examples: int) -> None:
    numbers = st.lists(st.integers(-(2**62), 2**62) | st.integers(0, 30), max_size=40)

    @on(examples)
    @given(st.lists(numbers, min_size=1, max_size=4), numbers)
    def integers(columns: list[list[int]], asked: list[int]) -> None:
        table = IntegerIds(np.array(column, dtype=np.int64) for column in columns)
        place_of = {number: place for place, number in enumerate(sorted({n for c in columns for n in c}))}
        asked += [number for column in columns for number in column]
        assert table.positions(np.array(asked, dtype=np.int64)).tolist() == [
            place_of.get(n, -1) for n in asked
        ]
        assert list(table.names()) == [str(number) for number in place_of]

    @on(examples)
    @given(st.lists(st.lists(NAMES, max_size=20), min_size=1, max_size=4), st.lists(NAMES, max_size=20))
    def strings(columns: list[list[str]], asked: list[str]) -> None:
        table = StringIds(pa.chunked_array([column], type=pa.large_string()) for column in columns)
        place_of: dict[str, int] = {}
        for column in columns:
            for name in column:
                place_of.setdefault(name, len(place_of))
        asked += [name for column in columns for name in column]
        assert table.positions(asked).tolist() == [place_of.get(name, -1) for name in asked]
        assert list(table.names()) == list(place_of)

    integers()
    strings()
