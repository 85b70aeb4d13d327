"""A prepared corpus, or its source, that changes: refused with the fix, at the start and afterwards."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid_retrieval.data.build import prepare_corpus
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.errors import UserError
from tests.own_data import LANGUAGES, ROWS, write_own_data


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_own_data(tmp_path / "source")


@pytest.fixture
def corpus(source: Path, tmp_path: Path) -> Path:
    return prepare(source, tmp_path / "cache")


def prepare(source: Path, cache: Path) -> Path:
    return prepare_corpus(make_reader("jsonl", str(source), None), cache)


def cut(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)


def empty(file: Path) -> None:
    os.truncate(file, 0)


def longer(file: Path) -> None:
    with file.open("ab") as opened:
        opened.write(b"\0" * 64)


FILES = [
    "queries/de.arrow",
    "passages/en.arrow",
    "ids/queries.arrow",
    "splits/train/query.npy",
    "splits/train/run_starts.npy",
    "corpus.json",
]


@pytest.mark.parametrize("fault", [cut, empty, longer, Path.unlink])
@pytest.mark.parametrize("name", FILES)
def test_file_of_a_prepared_corpus(corpus: Path, name: str, fault: Callable[[Path], None]) -> None:
    if (name, fault) == ("corpus.json", longer):
        pytest.skip("blanks at its end do no harm, and zeros make it another case of `cut`")
    fault(corpus / name)

    with pytest.raises(UserError) as refused:
        ParallelCorpus.open(corpus, "train")

    assert str(corpus) in str(refused.value)
    assert "prepare" in str(refused.value)


@pytest.mark.parametrize("fault", [cut, Path.unlink])
def test_corpus_in_the_cache_is_prepared_again(
    source: Path, corpus: Path, tmp_path: Path, fault: Callable[[Path], None]
) -> None:
    """The user who names the source need not do a thing."""
    fault(corpus / "passages" / "de.arrow")
    assert prepare(source, tmp_path / "cache") == corpus
    assert len(ParallelCorpus.open(corpus, "train")) == ROWS


def test_source_that_changed_is_another_corpus(source: Path, corpus: Path, tmp_path: Path) -> None:
    """Its fingerprint says so, at the same length of the file too; the corpus of before stays as it is."""
    before = ParallelCorpus.open(corpus, "train")
    file = source / "de.jsonl"
    status = file.stat()
    file.write_text(file.read_text(encoding="utf-8").replace("number 17?", "number 71?"), encoding="utf-8")
    assert file.stat().st_size == status.st_size

    other = prepare(source, tmp_path / "cache")

    assert other != corpus
    changed = ParallelCorpus.open(other, "train")
    assert changed.fingerprint != before.fingerprint
    assert [row.question for row in changed.rows("de")].count("de: Where is number 71?") == 1
    assert [row.question for row in before.rows("de")].count("de: Where is number 71?") == 0


def test_folder_replaced_under_open_files_is_harmless(corpus: Path, tmp_path: Path) -> None:
    """`prepare` puts a new folder in its place; who has mapped the old files reads them to the end."""
    opened = ParallelCorpus.open(corpus, "train")
    texts = [[row.question for row in opened.rows(language)] for language in LANGUAGES]
    fresh = ParallelCorpus.open(corpus, "train")
    fresh.rows("de")
    copy = tmp_path / "copy"
    shutil.copytree(corpus, copy)
    for file in corpus.rglob("*.arrow"):
        (copy / file.relative_to(corpus)).write_bytes(b"other")
        os.replace(copy / file.relative_to(corpus), file)
    assert [row.question for row in fresh.rows("de")] == texts[0]
    with pytest.raises(UserError, match=r"en\.arrow: damaged .* prepare again"):
        fresh.rows("en")
