"""mMARCO: the corpus equals a plain join of its files, in however many processes and pieces it is made."""

import os
import pickle
from collections import Counter, defaultdict
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.data import file_hashes, joined_triples, language_stages
from hybrid_retrieval.data.build import build_corpus, prepare_corpus
from hybrid_retrieval.data.mapped_texts import MappedTexts
from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.data.readers import mmarco
from hybrid_retrieval.data.readers.base import IdSource, TextBatch, TripleBatch
from hybrid_retrieval.data.readers.mmarco import MMarcoSource, text_files
from hybrid_retrieval.errors import UserError
from tests.data.small_mmarco import Small, found_triples, write_lines, write_small


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return write_small(tmp_path / "mmarco")


@pytest.mark.parametrize("holes", [True, False])
@pytest.mark.parametrize("fraction", [0.0, 0.4])
def test_equals_a_plain_join(tmp_path: Path, holes: bool, fraction: float) -> None:
    small = write_small(tmp_path / "mmarco", holes=holes)
    build_corpus(small.source(), tmp_path / "c", validation_fraction=fraction)
    splits = {split: ParallelCorpus.open(tmp_path / "c", split) for split in SPLITS}
    assert Counter(t for corpus in splits.values() for t in found_triples(corpus)) == Counter(small.triples)
    split_of: dict[tuple[str, int], str] = {}
    for split, corpus in splits.items():
        runs = corpus.availability
        masks = [tuple(q) + tuple(p) for q, p in zip(runs.query, runs.passage, strict=True)]
        assert masks == sorted(set(masks), reverse=True)
        for triple, (query, positive, _) in enumerate(found_triples(corpus)):
            assert split_of.setdefault(("query", query), split) == split
            assert split_of.setdefault(("passage", positive), split) == split
            here = np.array([triple])
            own, passage = int(corpus.queries(here)[0]), int(corpus.positives(here)[0])
            for column, language in enumerate(corpus.languages):
                run = runs.run_of(here)[0]
                assert runs.query[run, column] == (query in small.queries[language])
                assert runs.passage[run, column] == (positive in small.passages[language])
                if runs.query[run, column]:
                    assert corpus.query_text(language, own) == small.queries[language][query]
                assert corpus.passage_text(language, passage) == small.passages[language].get(positive)
    assert (len(splits["validation"]) > 0) == (fraction > 0)
    both = {
        language: sum(
            q in small.queries[language] and p in small.passages[language] for q, p, _ in small.triples
        )
        for language in small.queries
    }
    assert splits["train"].counts["rows"] == both


def test_every_passage_is_stored_once_and_in_its_place(small: Small, tmp_path: Path) -> None:
    build_corpus(small.source(), tmp_path / "c")
    for kind, texts in (("queries", small.queries), ("passages", small.passages)):
        ids = list(MappedTexts(tmp_path / "c" / "ids" / f"{kind}.arrow"))
        assert ids == sorted({str(i) for of in texts.values() for i in of}, key=int)
        for language, of in texts.items():
            stored = list(MappedTexts(tmp_path / "c" / kind / f"{language}.arrow"))
            assert [*stored, *[None] * (len(ids) - len(stored))] == [of.get(int(str(i))) for i in ids]


def test_processes_and_one_process_give_equal_bytes(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_corpus(small.source(), tmp_path / "one")
    monkeypatch.setattr(language_stages, "WORTH_PROCESSES", 0)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1}, raising=False)
    build_corpus(small.source(), tmp_path / "two")
    files = {path.relative_to(tmp_path / "one") for path in (tmp_path / "one").rglob("*.*")}
    assert files == {path.relative_to(tmp_path / "two") for path in (tmp_path / "two").rglob("*.*")}
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    path = small.folder / text_files("hi")["passages"]
    path.write_text(path.read_text(encoding="utf-8") + "no tab\n", encoding="utf-8")
    with pytest.raises(UserError, match=rf"{path}:\d+: 1 fields"):
        build_corpus(small.source(), tmp_path / "bad" / "c")
    assert not list((tmp_path / "bad").iterdir())


@pytest.mark.parametrize("negatives", [0, 1, 2, 5, 1000])
def test_lines_of_a_query_and_a_positive_are_grouped(small: Small, tmp_path: Path, negatives: int) -> None:
    of_pair: dict[tuple[int, int], list[int]] = defaultdict(list)
    for query, positive, negative in small.triples:
        of_pair[query, positive].append(negative)
    expected = [
        (*pair, *all_of[start : start + negatives])
        for pair, all_of in of_pair.items()
        for start in (range(0, len(all_of), negatives) if negatives else [0])
    ]
    build_corpus(small.source(negatives=negatives), tmp_path / "c")
    assert Counter(found_triples(ParallelCorpus.open(tmp_path / "c", "train"))) == Counter(expected)


def test_groups_do_not_depend_on_how_many_are_handled_at_once(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    build_corpus(small.source(negatives=2), tmp_path / "a")
    monkeypatch.setattr(mmarco, "PAIRS_AT_ONCE", 7)
    build_corpus(small.source(negatives=2), tmp_path / "b")
    monkeypatch.setattr(mmarco, "GROUPED_BYTES", 700)
    build_corpus(small.source(negatives=2), tmp_path / "c")
    a, b, c = (found_triples(ParallelCorpus(tmp_path / name, "train")) for name in "abc")
    assert a == b
    assert Counter(a) == Counter(c)


def test_a_file_of_triples_of_ones_own(small: Small, tmp_path: Path) -> None:
    lines = [(q, p, n, (p + 1) % 60) for q, p, n in small.triples]
    write_lines(small.folder / "mine.tsv", lines)
    build_corpus(small.source(triples="mine.tsv", limit=20), tmp_path / "four")
    assert Counter(found_triples(ParallelCorpus(tmp_path / "four", "train"))) == Counter(lines[:20])
    write_lines(small.folder / "mine.tsv", [line[:2] for line in lines])
    build_corpus(small.source(triples="mine.tsv"), tmp_path / "two")
    assert Counter(found_triples(ParallelCorpus(tmp_path / "two", "train"))) == Counter(
        line[:2] for line in lines
    )


def _renamed(batch: TextBatch) -> TextBatch:
    return replace(batch, ids=[str(i) for i in batch.ids])


def test_string_ids_give_the_same_corpus(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Strings(MMarcoSource):
        """The same ids, as strings."""

        def queries(self, language):  # type: ignore[no-untyped-def]
            return (_renamed(batch) for batch in super().queries(language))

        def passages(self, language):  # type: ignore[no-untyped-def]
            return (_renamed(batch) for batch in super().passages(language))

        def triples(self):  # type: ignore[no-untyped-def]
            for batch in super().triples():
                for start in range(0, len(batch.queries), 7):
                    own = [batch.queries, batch.positives, batch.negatives]
                    ids = [[str(i) for i in of[start : start + 7]] for of in own]
                    yield TripleBatch(ids[0], ids[1], ids[2], np.arange(len(ids[0]) + 1))

    build_corpus(Strings(str(small.folder)), tmp_path / "strings")
    monkeypatch.setattr(joined_triples, "MERGED_IDS", 50)
    build_corpus(Strings(str(small.folder)), tmp_path / "single")
    for file in (tmp_path / "strings").rglob("*.*"):
        assert (
            file.read_bytes() == (tmp_path / "single" / file.relative_to(tmp_path / "strings")).read_bytes()
        )
    build_corpus(small.source(), tmp_path / "integers")
    strings, integers = (ParallelCorpus(tmp_path / name, "train") for name in ("strings", "integers"))
    assert Counter(found_triples(strings)) == Counter(found_triples(integers))
    for language in integers.languages:
        key = ("id", "question", "passage", "passage_id", "negatives")
        rows = [
            sorted(tuple(getattr(row, name) for name in key) for row in corpus.rows(language))
            for corpus in (strings, integers)
        ]
        assert rows[0] == rows[1]


def test_a_prepared_corpus_is_found_without_reading_the_files(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in small.folder.rglob("*.tsv"):
        settle(file)
    folder = prepare_corpus(small.source(), tmp_path / "cache")
    read: list[Path] = []
    plain = file_hashes._sha256
    monkeypatch.setattr(file_hashes, "_sha256", lambda path, count: read.append(path) or plain(path, count))  # type: ignore[func-returns-value]
    assert prepare_corpus(small.source(), tmp_path / "cache") == folder
    assert read == []
    others = [
        prepare_corpus(small.source(negatives=2), tmp_path / "cache"),
        prepare_corpus(small.source(), tmp_path / "cache", languages=["de", "en"]),
    ]
    assert read == []
    changed = small.folder / text_files("de")["queries"]
    changed.write_text(changed.read_text(encoding="utf-8").replace("query", "Frage"), encoding="utf-8")
    settle(changed, seconds=50)
    others.append(prepare_corpus(small.source(), tmp_path / "cache"))
    assert read == [changed.resolve()]
    assert len({folder, *others}) == 4
    assert ParallelCorpus(others[1], "train").languages == ("de", "en")


def settle(path: Path, seconds: int = 100) -> None:
    """Make a file as old as files are that nobody is writing."""
    now = path.stat().st_mtime
    os.utime(path, (now - seconds, now - seconds))


def test_files_are_asked_from_the_hub_for_the_chosen_languages_alone(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[list[str]] = []

    def folder(path: str, files: list[str], layout: str, revision: str | None) -> Path:
        assert (path, revision) == ("unicamp-dl/mmarco", "main")
        asked.append(files)
        return small.folder

    monkeypatch.setattr(mmarco, "dataset_folder", folder)
    source = MMarcoSource(revision="main")
    assert len(source.languages()) == 14
    prepare_corpus(source, tmp_path / "cache", languages=["hi", "en"])
    assert asked == [
        [
            "data/triples.train.ids.small.tsv",
            "data/google/queries/train/english_queries.train.tsv",
            "data/google/collections/english_collection.tsv",
            "data/google/queries/train/hindi_queries.train.tsv",
            "data/google/collections/hindi_collection.tsv",
        ]
    ]
    assert isinstance(pickle.loads(pickle.dumps(source)), IdSource)
