"""Prepared corpora in object storage; the store is fsspec's in memory."""

import hashlib
import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from pathlib import Path
from typing import Any

import fsspec  # type: ignore[import-untyped]
import numpy as np
import pytest
from fsspec.implementations.memory import MemoryFileSystem  # type: ignore[import-untyped]

from hybrid_retrieval.data import copy_corpus
from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.copy_corpus import RemoteCorpus
from hybrid_retrieval.data.open import prepare_data
from hybrid_retrieval.data.parallel import MANIFEST, SPLITS, ParallelCorpus
from hybrid_retrieval.data.prepared_folder import PreparedSource
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.strategies import make_strategy
from tests.data.memory_reader import MemoryReader, RowsByLanguage, row
from tests.data.test_prepared_folder import config, rows_of
from tests.data.written import tree

URL = "memory://bucket/corpora/made"
SILENT = Progress()
RANGES = {"de": range(30), "en": range(40), "th": range(20, 50)}
ROWS: RowsByLanguage = {
    code: [row(code, n, negatives=(f"p{(n + 1) % 30}",)) for n in numbers] for code, numbers in RANGES.items()
}


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("original") / "made"
    build_corpus(MemoryReader(ROWS, "made"), folder, validation_fraction=0.1)
    return folder


@pytest.fixture
def store(original: Path) -> Iterator[Any]:
    filesystem = fsspec.filesystem("memory")
    for path in original.rglob("*"):
        if path.is_file():
            name = path.relative_to(original).as_posix()
            filesystem.pipe_file(f"/bucket/corpora/made/{name}", path.read_bytes())
    yield filesystem
    filesystem.store.clear()


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are fetched, in order."""
    names: list[str] = []
    get_file = MemoryFileSystem.get_file

    def counted(self: Any, rpath: str, lpath: str, **options: Any) -> None:
        names.append(rpath.removeprefix("/bucket/corpora/made/"))
        get_file(self, rpath, lpath, **options)

    monkeypatch.setattr(MemoryFileSystem, "get_file", counted)
    return names


def copied(cache: Path, languages: list[str] | None = None, progress: Progress = SILENT) -> Path:
    return PreparedSource(URL).folder(cache, languages, complete=False, progress=progress)


def test_a_copy_is_the_corpus(store: Any, original: Path, tmp_path: Path) -> None:
    folder = copied(tmp_path)
    assert folder.parent == tmp_path / "copies"
    for split in SPLITS:
        assert rows_of([ParallelCorpus.open(folder, split)]) == rows_of(
            [ParallelCorpus.open(original, split)]
        )
    for path in original.rglob("*"):
        if path.is_file() and path.name != MANIFEST:
            assert (folder / path.relative_to(original)).read_bytes() == path.read_bytes()


@pytest.mark.parametrize("languages", [["de", "en"], ["de", "th"], ["th"]])
def test_a_copy_in_some_languages_is_the_corpus_in_these(
    store: Any, fetched: list[str], original: Path, tmp_path: Path, languages: list[str]
) -> None:
    folder = copied(tmp_path, languages)
    others = sorted(set(ROWS) - set(languages))
    assert not any(f"/{code}.arrow" in name for code in others for name in fetched)
    whole, part = ParallelCorpus.open(original, "train"), ParallelCorpus.open(folder, "train")
    assert part.languages == tuple(languages)
    for language in languages:
        assert part.rows(language) == whole.rows(language)
    everything = np.arange(len(whole))
    assert part.row_ids(everything) == whole.row_ids(everything)
    strategy = make_strategy("hybrid" if len(languages) > 1 else "x_x_mono")
    plans = [BatchPlan([corpus], strategy, languages, 8, seed=3) for corpus in (whole, part)]
    assert plans[0].triples_per_epoch == plans[1].triples_per_epoch
    for step in range(12):
        one, other = (plan[step] for plan in plans)
        for field in fields(one):
            assert np.array_equal(getattr(one, field.name), getattr(other, field.name)), field.name


def test_a_finished_copy_is_used_without_fetching_or_writing(
    store: Any, fetched: list[str], tmp_path: Path
) -> None:
    first = copied(tmp_path, ["en"])
    before, count = tree(tmp_path), len(fetched)
    assert copied(tmp_path, ["en"]) == first
    assert (tree(tmp_path), len(fetched)) == (before, count)


def test_another_choice_of_languages_fetches_what_is_new(
    store: Any, fetched: list[str], tmp_path: Path
) -> None:
    first = copied(tmp_path, ["en"])
    del fetched[:]
    second = copied(tmp_path, ["de", "en"])
    assert sorted(fetched) == ["passages/de.arrow", "queries/de.arrow"]
    shutil.rmtree(first)
    assert ParallelCorpus.open(second, "train").rows("en")


def test_a_killed_copy_goes_on_and_is_never_taken_for_whole(
    store: Any, fetched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    counted = MemoryFileSystem.get_file

    def dies(self: Any, rpath: str, lpath: str, **options: Any) -> None:
        if len(fetched) == 6:
            Path(lpath).write_bytes(b"half of it")
            raise KilledError
        counted(self, rpath, lpath, **options)

    monkeypatch.setattr(copy_corpus, "FILES_AT_ONCE", 1)
    with monkeypatch.context() as patch:
        patch.setattr(MemoryFileSystem, "get_file", dies)
        with pytest.raises(KilledError):
            copied(tmp_path)
    before = set(fetched)
    assert len(before) == 6
    assert [path for path in (tmp_path / "copies").iterdir() if not path.name.startswith(".")] == []
    del fetched[:]
    folder = copied(tmp_path)
    assert before.isdisjoint(fetched)
    assert not [path for path in (tmp_path / "copies").iterdir() if path.name.endswith(".partial")]
    assert rows_of([ParallelCorpus.open(folder, "train")])


def test_one_process_copies_while_others_wait(store: Any, fetched: list[str], tmp_path: Path) -> None:
    lines: list[str] = []
    slow = threading.Event()
    counted = MemoryFileSystem.get_file

    def waits(self: Any, rpath: str, lpath: str, **options: Any) -> None:
        slow.wait(5)
        counted(self, rpath, lpath, **options)

    def say(line: str) -> None:
        lines.append(line)
        if "waiting" in line:
            slow.set()

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(2) as pool:
        patch.setattr(MemoryFileSystem, "get_file", waits)
        folders = list(pool.map(lambda _: copied(tmp_path, progress=Progress(say)), range(2)))
    assert folders[0] == folders[1]
    assert len(fetched) == len(set(fetched))
    assert "made: waiting for another process that copies it" in lines


@pytest.mark.parametrize("change", ["size", "bytes", "missing"])
def test_a_file_that_differs_from_the_manifest_is_refused(store: Any, tmp_path: Path, change: str) -> None:
    name = "/bucket/corpora/made/passages/en.arrow"
    data = store.cat_file(name)
    manifest = json.loads(store.cat_file(f"/bucket/corpora/made/{MANIFEST}"))
    manifest["sha256"] = {"passages/en.arrow": hashlib.sha256(data).hexdigest()}
    store.pipe_file(f"/bucket/corpora/made/{MANIFEST}", json.dumps(manifest).encode())
    if change == "missing":
        store.rm_file(name)
    else:
        store.pipe_file(name, data[:-3] if change == "size" else data[:-1] + b"!")
    match = {"size": "bytes instead of", "bytes": "its SHA-256 is not", "missing": "is missing"}[change]
    with pytest.raises(UserError, match=rf"^{URL}/passages/en\.arrow:? .*{match}|en.arrow: .*{match}"):
        copied(tmp_path)
    assert [path for path in (tmp_path / "copies").iterdir() if not path.name.startswith(".")] == []
    store.pipe_file(name, data)
    assert ParallelCorpus.open(copied(tmp_path), "train").rows("en")


def test_a_manifest_cannot_name_files_elsewhere(store: Any, tmp_path: Path) -> None:
    path = f"/bucket/corpora/made/{MANIFEST}"
    good = json.loads(store.cat_file(path))
    for bad in (
        {**good, "files": {**good["files"], "../../outside": 3}},
        {**good, "files": {**good["files"], "/outside": 3}},
        {**good, "name": "../made"},
    ):
        store.pipe_file(path, json.dumps(bad).encode())
        with pytest.raises(UserError, match="names files that no prepared corpus has"):
            RemoteCorpus.open(URL)


def test_room_is_checked_first(
    store: Any, fetched: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10, 9, 1))  # type: ignore[attr-defined]
    with pytest.raises(UserError, match=r"takes 0\.0 GB in .*copies, which has 0\.0 GB left\. Make room"):
        copied(tmp_path)
    assert fetched == []


@pytest.mark.parametrize(
    ("url", "match"),
    [
        (
            "memory://bucket/nothing",
            r"memory://bucket/nothing/corpus\.json is not there\. Name in",
        ),
        ("nonsense://bucket/x", r"data\.path=nonsense://bucket/x cannot be opened: Protocol not known"),
    ],
)
def test_an_address_without_a_corpus(url: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=match):
        prepare_data(config(path=url), str(tmp_path))


def test_a_missing_driver_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver(_: str) -> None:
        raise ImportError("Install s3fs to access S3")

    monkeypatch.setattr(fsspec.core, "url_to_fs", no_driver)
    with pytest.raises(UserError, match=r"no driver for s3:// is installed\. Run `pip install 's3fs'`\.$"):
        prepare_data(config(path="s3://bucket/made"), str(tmp_path))


def test_a_store_that_cannot_be_reached_is_one_message(
    store: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unreachable(self: Any, path: str, **options: Any) -> bytes:
        raise ConnectionError("no route\nto host")

    monkeypatch.setattr(MemoryFileSystem, "cat_file", unreachable)
    with pytest.raises(UserError, match=r"corpus\.json: cannot be read \(ConnectionError: no route\)\."):
        prepare_data(config(path=URL), str(tmp_path))


def test_languages_of_a_set_are_copied_alone(store: Any, tmp_path: Path) -> None:
    sets = [{"reader": "prepared", "path": "made", "languages": ["th"]}]
    cfg = config(path="memory://bucket/corpora", sets=sets, languages=["de", "en", "th"])
    (folder,) = prepare_data(cfg, str(tmp_path))
    assert ParallelCorpus.open(folder, "train").languages == ("th",)
    with pytest.raises(UserError, match=r"has no data in fr: it is prepared in de, en, th"):
        prepare_data(config(path=URL, options={"languages": ["fr"]}), str(tmp_path))
