"""Fingerprints of sources of rows: content alone counts, and unchanged files are not read again."""

import importlib.metadata
import importlib.resources
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

from hybrid_retrieval.data.file_hashes import FileHashes, sha256_of
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.data.readers.base import IdSource, Reader
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.data.readers.world_facts import WorldFactsReader
from hybrid_retrieval.data.readers.world_facts import generator as world_facts_generator
from hybrid_retrieval.data.readers.world_facts import reader as world_facts_reader
from tests.data.published import PUBLISHED
from tests.data.written import under, watched

COLUMNS = {"id": "id", "question": "question", "passage": "passage"}
OPTIONS = {name: {"columns": COLUMNS} for name in ("csv", "hub", "parquet")}


def rows_reader(name: str, folder: Path) -> Reader:
    return make_reader(name, str(folder), None, **OPTIONS.get(name, {}))


READERS = [
    name
    for name in sorted(PUBLISHED)
    if name not in ("beir", "miracl_train", "mmarco", "mr_tydi", "prepared")
]


def test_these_are_all_readers_of_rows(tmp_path: Path) -> None:
    for name in set(PUBLISHED) - set(READERS) - {"prepared"}:
        PUBLISHED[name](tmp_path / name)
        options = {"corpus": None} if name == "miracl_train" else {}
        assert isinstance(make_reader(name, str(tmp_path / name), None, **options), IdSource)


@pytest.mark.parametrize("name", READERS)
def test_content_alone_counts(name: str, tmp_path: Path) -> None:
    PUBLISHED[name](tmp_path / "one" / "data")
    first = rows_reader(name, tmp_path / "one" / "data").fingerprint()
    shutil.copytree(tmp_path / "one" / "data", tmp_path / "other" / "data")
    again = rows_reader(name, tmp_path / "other" / "data")
    assert again.fingerprint() == first
    assert again.fingerprint(FileHashes(tmp_path / "cache", Progress())) == first
    asked: list[Path] = []

    def hash_file(path: Path) -> str:
        asked.append(path)
        return sha256_of(path)

    again.fingerprint(hash_file)
    assert asked
    for changed in set(asked):
        text = changed.read_bytes()
        changed.write_bytes(text + b" ")
        assert rows_reader(name, tmp_path / "other" / "data").fingerprint() != first, changed
        changed.write_bytes(text)


@pytest.mark.parametrize("name", READERS)
def test_unchanged_files_are_not_read_again(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "data"
    PUBLISHED[name](folder)
    old = time.time() - 60
    for path in folder.rglob("*"):
        os.utime(path, (old, old))
    reader = rows_reader(name, folder)
    reader.languages()
    with watched() as (_, opened):
        first = reader.fingerprint(FileHashes(tmp_path / "cache", Progress()))
    read = set(under(folder, opened))
    assert read
    with watched() as (changed, opened):
        assert rows_reader(name, folder).fingerprint(FileHashes(tmp_path / "cache", Progress())) == first
    assert changed == []
    assert not under(folder, opened) or name in ("csv", "mkqa")  # whose first line names the columns
    touched = Path(sorted(read)[0])
    os.utime(touched, (old + 1, old + 1))
    with watched() as (_, opened):
        rows_reader(name, folder).fingerprint(FileHashes(tmp_path / "cache", Progress()))
    assert str(touched) in opened


def test_a_cache_that_cannot_be_written_costs_a_reading_and_no_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("text", encoding="utf-8")
    (tmp_path / "cache").write_text("a file where the folder should be", encoding="utf-8")
    assert FileHashes(tmp_path / "cache", Progress())(tmp_path / "file") == sha256_of(tmp_path / "file")


def test_world_facts_are_not_generated_for_their_fingerprint(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(language: str) -> None:
        raise AssertionError(f"rows of {language} were generated")

    monkeypatch.setattr(world_facts_reader, "_rows", refuse)
    assert len({WorldFactsReader(some).fingerprint() for some in (None, ["en"], ["de", "en"])}) == 3


def test_every_file_that_makes_world_facts_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = world_facts_generator.__package__
    assert list(WorldFactsReader(["en"]).rows("en"))
    loaded = {
        Path(str(module.__file__))
        for name, module in sys.modules.items()
        if (name == package or name.startswith(f"{package}.")) and not name.endswith(".statistics")
    }
    source = Path(str(importlib.resources.files(package)))
    code = {path.relative_to(source) for path in loaded}
    templates = {path.relative_to(source) for path in (source / "templates").glob("*.yaml")}
    assert len(code) > 15
    assert len(templates) == 14
    copy = tmp_path / "copy"
    shutil.copytree(source, copy, ignore=shutil.ignore_patterns("__pycache__"))
    before = world_facts_generator.generator_digest()
    monkeypatch.setattr(importlib.resources, "files", lambda _: copy)
    assert world_facts_generator.generator_digest() == before
    for name in code | templates:
        text = (copy / name).read_bytes()
        (copy / name).write_bytes(text + b"#")
        assert world_facts_generator.generator_digest() != before, name
        (copy / name).write_bytes(text)
    (copy / "statistics.py").write_text("", encoding="utf-8")
    assert world_facts_generator.generator_digest() == before
    monkeypatch.setattr(importlib.metadata, "version", lambda name: f"{name} of tomorrow")
    assert world_facts_generator.generator_digest() != before
