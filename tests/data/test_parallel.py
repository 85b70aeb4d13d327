import json
import multiprocessing
import os
import pickle
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_retrieval.data.build import build_corpus, prepare_corpus
from hybrid_retrieval.data.parallel import MANIFEST, SPLITS, ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.triples import TripleSource
from tests.data.memory_reader import MemoryReader

RowsByLanguage = dict[str, list[Row]]


def row(language: str, number: int, passage: int | None = None, **fields: object) -> Row:
    passage = number if passage is None else passage
    made = Row(f"r{number}", f"{language} question {number}", f"{language} passage {passage}", f"p{passage}")
    return replace(made, **fields)  # type: ignore[arg-type]


SMALL: RowsByLanguage = {
    "en": [row("en", 0), row("en", 1), row("en", 2, negatives=("p0", "p1")), row("en", 3, 1)],
    "de": [row("de", 2, negatives=("p0", "p1")), row("de", 0), row("de", 1)],
    "th": [row("th", 3, 1), row("th", 0)],
}


def opened(rows: RowsByLanguage, folder: Path, validation_fraction: float = 0.0) -> dict[str, ParallelCorpus]:
    build_corpus(MemoryReader(rows), folder, validation_fraction=validation_fraction)
    return {split: ParallelCorpus.open(folder, split) for split in SPLITS}


@pytest.fixture
def small(tmp_path: Path) -> ParallelCorpus:
    return opened(SMALL, tmp_path / "small")["train"]


@st.composite
def sources(draw: st.DrawFn) -> RowsByLanguage:
    """Rows with shared passages, negatives, stated splits, and languages that lack some, in any order."""
    n = draw(st.integers(1, 12))
    passage_of = draw(st.lists(st.integers(0, n - 1), min_size=n, max_size=n))
    defined = sorted(set(passage_of))
    splits = draw(st.lists(st.sampled_from([None, *SPLITS]), min_size=n, max_size=n))
    negatives = [
        tuple(f"p{p}" for p in draw(st.lists(st.sampled_from(defined), max_size=3)) if p != passage_of[i])
        for i in range(n)
    ]
    rows: RowsByLanguage = {}
    for language in draw(
        st.sets(st.sampled_from(["ar", "de", "el", "en", "ru", "th", "zh-hant"]), min_size=1)
    ):
        numbers = draw(st.lists(st.integers(0, n - 1), unique=True, min_size=1))
        rows[language] = [
            row(language, i, passage_of[i], negatives=negatives[i], split=splits[i]) for i in numbers
        ]
    everything = min(rows)  # so that every negative is defined
    rows[everything] = [
        row(everything, i, passage_of[i], negatives=negatives[i], split=splits[i]) for i in range(n)
    ]
    return rows


@settings(max_examples=50, deadline=None)
@given(rows=sources(), fraction=st.sampled_from([0.0, 0.3, 0.9]))
def test_equals_a_plain_join(
    tmp_path_factory: pytest.TempPathFactory, rows: RowsByLanguage, fraction: float
) -> None:
    splits = opened(rows, tmp_path_factory.mktemp("corpus") / "c", fraction)
    expected: dict[str, dict[str, Row]] = defaultdict(dict)  # row id -> language -> row
    passages: dict[str, set[str]] = defaultdict(set)  # passage id -> languages
    for language, of_language in rows.items():
        for one in of_language:
            expected[one.id][language] = one
            passages[one.passage_id].add(language)

    found: set[str] = set()
    split_of_unstated: dict[str, str] = {}
    for split, corpus in splits.items():
        triples = np.arange(len(corpus))
        ids, runs = corpus.row_ids(triples), corpus.availability.run_of(triples)
        assert found.isdisjoint(ids)
        found |= set(ids)
        assert corpus.distinct_positives == len({next(iter(expected[i].values())).passage_id for i in ids})
        negatives = corpus.negatives(triples, 2)
        for triple, row_id in enumerate(ids):
            by_language = expected[row_id]
            one = next(iter(by_language.values()))
            query, positive = int(corpus.queries(triples)[triple]), int(corpus.positives(triples)[triple])
            if one.split is None:
                assert split != "test"
                assert split_of_unstated.setdefault(one.passage_id, split) == split
            else:
                assert one.split == split
            has_query = corpus.availability.query[runs[triple]]
            has_passage = corpus.availability.passage[runs[triple]]
            languages = np.array(corpus.languages)
            assert languages[has_query].tolist() == sorted(by_language)
            assert languages[has_passage].tolist() == sorted(passages[one.passage_id])
            for language, there in by_language.items():
                assert corpus.query_text(language, query) == there.question
                assert corpus.passage_text(language, positive) == there.passage
            for column in range(2):
                if column >= len(one.negatives):
                    assert negatives[triple, column] == -1
                    continue
                for language in corpus.languages:
                    negative = one.negatives[column]
                    text = f"{language} passage {negative[1:]}" if language in passages[negative] else None
                    assert corpus.passage_text(language, int(negatives[triple, column])) == text
    assert found == set(expected)

    for language in rows:
        back = [replace(one, split=None) for corpus in splits.values() for one in corpus.rows(language)]
        assert sorted(back, key=lambda one: one.id) == sorted(
            (replace(one, split=None) for one in rows[language]), key=lambda one: one.id
        )


@settings(max_examples=30, deadline=None)
@given(rows=sources())
def test_triples_are_sorted_into_maximal_runs_in_order_of_appearance(
    tmp_path_factory: pytest.TempPathFactory, rows: RowsByLanguage
) -> None:
    for corpus in opened(rows, tmp_path_factory.mktemp("corpus") / "c").values():
        runs = corpus.availability
        masks = [tuple(q) + tuple(p) for q, p in zip(runs.query, runs.passage, strict=True)]
        assert masks == sorted(set(masks), reverse=True)
        assert runs.starts[0] == 0
        assert runs.starts[-1] == len(corpus)
        assert (runs.counts() > 0).all()
        for start, end in zip(runs.starts, runs.starts[1:], strict=False):
            assert (np.diff(corpus.queries(np.arange(start, end))) > 0).all()


def test_counts_of_a_hand_made_source(small: ParallelCorpus) -> None:
    source: TripleSource = small
    assert source.languages == ("de", "en", "th")
    assert (len(source), source.distinct_positives, small.passage_count) == (4, 3, 3)
    # r0 everywhere; r1 in de and en with its passage also in th through r3; r2 without th; r3 in en and th
    # with its passage everywhere.
    assert small.row_ids(np.arange(4)) == ["r0", "r1", "r2", "r3"]
    assert source.availability.starts.tolist() == [0, 1, 2, 3, 4]
    assert source.availability.query.tolist() == [
        [True, True, True],
        [True, True, False],
        [True, True, False],
        [False, True, True],
    ]
    assert source.availability.passage.tolist() == [[True] * 3, [True] * 3, [True, True, False], [True] * 3]
    positives = source.positives(np.array([0, 1]))
    assert small.negatives(np.array([2, 0]), 3).tolist() == [[*positives.tolist(), -1], [-1, -1, -1]]
    assert small.negatives(np.array([2]), 0).shape == (1, 0)


def test_a_language_without_the_text(small: ParallelCorpus) -> None:
    query, positive = int(small.queries(np.array([2]))[0]), int(small.positives(np.array([2]))[0])
    assert small.passage_text("th", positive) is None
    with pytest.raises(ValueError, match="no text in 'th'"):
        small.query_text("th", query)
    with pytest.raises(ValueError, match="no language 'fr'"):
        small.query_text("fr", query)
    with pytest.raises(IndexError):
        small.passage_text("th", 3)


def test_an_absent_split_is_empty(tmp_path: Path) -> None:
    empty = opened(SMALL, tmp_path / "c")["test"]
    nothing = np.empty(0, dtype=np.int64)
    assert (len(empty), empty.distinct_positives, empty.rows("en")) == (0, 0, [])
    assert empty.availability.query.shape == (0, 3)
    assert empty.negatives(nothing, 2).shape == (0, 2)
    assert empty.queries(nothing).shape == empty.positives(nothing).shape == (0,)


def _texts(corpus: ParallelCorpus) -> list[Row]:
    return [one for language in corpus.languages for one in corpus.rows(language)]


def test_survives_a_fork_and_a_pickle_in_another_working_directory(
    small: ParallelCorpus, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    relative = ParallelCorpus.open(small.folder.relative_to(tmp_path), "train")
    monkeypatch.chdir("/")
    assert len(pickle.dumps(relative)) < 1_000
    assert _texts(pickle.loads(pickle.dumps(relative))) == _texts(relative)
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(_texts, (small,)) == _texts(small)


def test_building_again_gives_equal_bytes(tmp_path: Path) -> None:
    folders = [tmp_path / "a", tmp_path / "b"]
    for folder in folders:
        build_corpus(MemoryReader(SMALL), folder, validation_fraction=0.5)
    contents = [
        {p.relative_to(f).as_posix(): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders
    ]
    assert contents[0] == contents[1]
    assert str(tmp_path).encode() not in b"".join(contents[0].values())


def test_the_validation_share_is_near_what_was_asked(tmp_path: Path) -> None:
    n, fraction = 4_000, 0.1
    splits = opened({"en": [row("en", i) for i in range(n)]}, tmp_path / "c", fraction)
    four_sigma = 4 * np.sqrt(n * fraction * (1 - fraction))
    assert abs(len(splits["validation"]) - n * fraction) < four_sigma
    assert len(splits["validation"]) + len(splits["train"]) == n


def test_a_passage_lies_in_one_split_whatever_rows_and_languages_it_has(tmp_path: Path) -> None:
    rows = [row("en", i, i % 300) for i in range(900)]
    few = opened({"en": rows[::7]}, tmp_path / "few", 0.5)
    all_of = opened({"de": [row("de", i, i % 300) for i in range(400)], "en": rows}, tmp_path / "all", 0.5)
    of_all, of_few = (
        {split: {one.passage_id for one in corpus.rows("en")} for split, corpus in corpora.items()}
        for corpora in (all_of, few)
    )
    assert of_all["train"].isdisjoint(of_all["validation"])
    assert all(of_few[split] <= of_all[split] for split in SPLITS)
    assert min(len(of_few["train"]), len(of_few["validation"])) > 20


class _Dies(MemoryReader):
    def rows(self, language: str) -> Iterator[Row]:
        for number, one in enumerate(super().rows(language)):
            if language == "en" and number == 2:
                raise KeyboardInterrupt
            yield one


def _build_and_die(rows: RowsByLanguage, cache: Path) -> None:
    class Exits(MemoryReader):
        def rows(self, language: str) -> Iterator[Row]:
            for one in super().rows(language):
                if language == "th":
                    os._exit(9)
                yield one

    prepare_corpus(Exits(rows), cache)


def test_an_interrupted_build_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        prepare_corpus(_Dies(SMALL), tmp_path)
    assert list((tmp_path / "corpora").iterdir()) == []


def test_a_killed_build_is_not_taken_for_a_corpus(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_build_and_die, args=(SMALL, tmp_path))
    process.start()
    process.join()
    assert process.exitcode == 9
    assert len(list((tmp_path / "corpora").iterdir())) == 1  # the temporary folder, which nobody opens
    messages: list[str] = []
    folder = prepare_corpus(MemoryReader(SMALL), tmp_path, progress=messages.append)
    assert len(messages) == len(SMALL) + 1
    assert len(ParallelCorpus.open(folder, "train")) == 4


def test_prepare_reuses_equal_content_and_nothing_else(tmp_path: Path) -> None:
    def prepared(rows: RowsByLanguage, fraction: float = 0.0, languages: list[str] | None = None) -> Path:
        return prepare_corpus(MemoryReader(rows), tmp_path, validation_fraction=fraction, languages=languages)

    first = prepared(SMALL)
    stamp = (first / MANIFEST).stat().st_ino
    assert prepared(SMALL) == first
    assert prepared(SMALL, languages=["th", "en", "de", "en"]) == first
    assert (first / MANIFEST).stat().st_ino == stamp
    changed = {**SMALL, "de": [*SMALL["de"][:-1], replace(SMALL["de"][-1], question="neu")]}
    others = {prepared(changed), prepared(SMALL, 0.5), prepared(SMALL, languages=["en", "th", "de"][:2])}
    assert len(others - {first}) == 3
    assert ParallelCorpus.open(prepared(SMALL, languages=["en"]), "train").languages == ("en",)


@pytest.mark.parametrize("file", [MANIFEST, "passages/de.arrow", "splits/train/query.npy"])
@pytest.mark.parametrize("damage", ["cut", "removed"])
def test_a_damaged_corpus_is_refused_and_prepared_anew(tmp_path: Path, file: str, damage: str) -> None:
    folder = prepare_corpus(MemoryReader(SMALL), tmp_path)
    if damage == "cut":
        (folder / file).write_bytes((folder / file).read_bytes()[:-30])
    else:
        (folder / file).unlink()
    with pytest.raises(UserError, match=r"hybrid-retrieval prepare") as refused:
        ParallelCorpus.open(folder, "train")
    assert str(folder) in str(refused.value)
    assert prepare_corpus(MemoryReader(SMALL), tmp_path) == folder
    assert len(_texts(ParallelCorpus.open(folder, "train"))) == 9


def test_another_schema_a_wrong_folder_and_a_wrong_split_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a prepared corpus"):
        ParallelCorpus.open(tmp_path / "nowhere", "train")
    folder = prepare_corpus(MemoryReader(SMALL), tmp_path)
    with pytest.raises(UserError, match="no split 'dev': choose from train, validation, test"):
        ParallelCorpus.open(folder, "dev")
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps({**manifest, "schema": 0}))
    with pytest.raises(UserError, match="schema 0, this version reads 1"):
        ParallelCorpus.open(folder, "train")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"de": [row("de", 0), row("de", 0)]}, r"\(de\): the id 'r0' occurs twice in de"),
        (
            {"de": [row("de", 0), replace(row("de", 1, 0), passage="anders")]},
            r"\(de\): row 'r1' gives passage_id 'p0' another text than row 'r0'",
        ),
        (
            {"de": [row("de", 0), row("de", 1)], "en": [row("en", 0, 1)]},
            r"\(en\): row 'r0' in en differs in passage_id from de",
        ),
        (
            {"de": [row("de", 0, split="train")], "en": [row("en", 0, split="test")]},
            r"row 'r0' in en differs in split from de",
        ),
        (
            {"de": [row("de", 0), row("de", 1)], "en": [row("en", 0, negatives=("p1",))]},
            r"row 'r0' in en differs in negatives from de",
        ),
        ({"de": [row("de", 0, negatives=("p9",))]}, r"row 'r0' has the hard negative 'p9', .* of no row"),
        ({"de": [row("de", 0, negatives=("p0",))]}, r"row 'r0' has its own passage 'p0' among its negatives"),
        ({"de": [row("de", 0)], "en": []}, r"no rows in en"),
    ],
)
def test_rows_that_contradict_each_other_stop_the_build(
    tmp_path: Path, rows: RowsByLanguage, message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build_corpus(MemoryReader(rows), tmp_path / "corpora" / "c")
    assert list((tmp_path / "corpora").iterdir()) == []


@pytest.mark.parametrize("fraction", [-0.1, 1.0, float("nan"), True])
def test_a_fraction_out_of_range_is_refused(tmp_path: Path, fraction: float) -> None:
    with pytest.raises(UserError, match="validation_fraction must lie in"):
        build_corpus(MemoryReader(SMALL), tmp_path / "c", validation_fraction=fraction)


@pytest.mark.parametrize("languages", [["de", "fr"], [], "de"])
def test_languages_that_do_not_exist_are_refused(tmp_path: Path, languages: list[str]) -> None:
    with pytest.raises(UserError, match=r"data\.languages"):
        build_corpus(MemoryReader(SMALL), tmp_path / "c", languages=languages)
