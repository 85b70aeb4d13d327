"""mMARCO: what is wrong with its files, or with how it is asked for, is named with the fix."""

import shutil
from collections import namedtuple
from pathlib import Path

import pytest

from hybrid_retrieval.data.build import build_corpus, prepare_corpus
from hybrid_retrieval.data.readers.mmarco import TRIPLES, text_files
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.errors import UserError
from tests.data.small_mmarco import Small, write_lines, write_small


@pytest.fixture
def small(tmp_path: Path) -> Small:
    return write_small(tmp_path / "mmarco")


BAD: dict[str, tuple[str, str, str]] = {
    "three fields": ("de", "7\ta\tb\n", r"3 fields separated by tabs instead of 2.*passage id<tab>text"),
    "no text": ("de", "7\n", "1 fields separated by tabs instead of 2"),
    "empty text": ("de", "7\t \n", "the text is empty"),
    "no number": ("de", "D7\tText\n", "the passage id is 'D7', which is no whole number"),
    "a number too large": ("de", "99999999999999999999\tText\n", "which is no whole number"),
    "id twice": ("de", "5\tText\n5\tText\n", "the id 5 occurs twice among the passages in de"),
    "carriage return": ("de", "7\tText\rText\n", "the text holds a carriage return"),
}


@pytest.mark.parametrize(("language", "line", "message"), BAD.values(), ids=BAD.keys())
def test_a_bad_line_is_named(small: Small, tmp_path: Path, language: str, line: str, message: str) -> None:
    path = small.folder / text_files(language)["passages"]
    before = path.read_text(encoding="utf-8") if "twice" not in message else ""
    path.write_text(before + line, encoding="utf-8", newline="")
    with pytest.raises(UserError, match=message) as stopped:
        build_corpus(small.source(), tmp_path / "out" / "c")
    if "twice" not in message:
        assert str(stopped.value).startswith(f"{path}:{before.count(chr(10)) + 1}: ")
    assert not list((tmp_path / "out").iterdir())


def test_a_wrong_encoding_is_named_with_its_line(small: Small, tmp_path: Path) -> None:
    path = small.folder / text_files("en")["passages"]
    path.write_bytes(b"0\tgood\n1\tbad \xff\n")
    with pytest.raises(UserError, match=rf"{path}:2: not UTF-8: byte 0xff at offset 13"):
        build_corpus(small.source(), tmp_path / "c")


@pytest.mark.parametrize(
    ("triple", "message"),
    [
        ((1, 2, 3), r"triple 301 names the query 1, which is in no language"),
        ((None, 99, 3), r"triple 301 names the passage 99, which is in no language"),
        ((None, 3, 98), r"triple 301 names the passage 98, which is in no language"),
        ((None, 3, 3), r"triple 301 has its own passage 3 among its negatives"),
    ],
)
def test_triples_that_name_what_is_not_there_stop_the_build(
    small: Small, tmp_path: Path, triple: tuple[int | None, int, int], message: str
) -> None:
    query = triple[0] or small.triples[0][0]
    write_lines(small.folder / TRIPLES, [*small.triples, (query, *triple[1:])])
    with pytest.raises(UserError, match=message):
        build_corpus(small.source(), tmp_path / "out" / "c")
    assert not list((tmp_path / "out").iterdir())


def test_a_full_disk_is_said_before_anything_is_read(
    small: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = sum(map(small.source().source_bytes, ["de", "en", "hi"]))
    usage = namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(size - 1))
    with pytest.raises(UserError, match=r"takes about 0\.0 GB in .*out, which has .*paths\.cache"):
        build_corpus(small.source(), tmp_path / "out" / "c")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(size))
    build_corpus(small.source(), tmp_path / "out" / "c")


def test_a_folder_that_is_not_mmarco_is_refused(small: Small, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"has no folder data/\. Name a folder with .*data/google/"):
        make_reader("mmarco", str(tmp_path), None)
    (tmp_path / "data").mkdir()
    with pytest.raises(UserError, match=r"holds no language: looked for .*english_queries\.train\.tsv"):
        make_reader("mmarco", str(tmp_path), None).languages()
    with pytest.raises(UserError, match=r"data\.options\.negatives must be null or a whole number"):
        make_reader("mmarco", str(small.folder), None, negatives=-1)
    with pytest.raises(UserError, match=r"mmarco has no data in fr: choose data\.languages from de, en, hi"):
        prepare_corpus(small.source(), tmp_path / "cache", languages=["fr"])
    with pytest.raises(UserError, match=r"nowhere\.tsv: missing"):
        prepare_corpus(small.source(triples="nowhere.tsv"), tmp_path / "cache")
