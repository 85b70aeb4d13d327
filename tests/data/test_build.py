import json
import multiprocessing
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.data.build import build_corpus, prepare_corpus
from hybrid_retrieval.data.parallel import MANIFEST, SPLITS, ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError
from tests.data.memory_reader import SMALL, MemoryReader, RowsByLanguage, opened, row


def _texts(corpus: ParallelCorpus) -> list[Row]:
    return [one for language in corpus.languages for one in corpus.rows(language)]


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
