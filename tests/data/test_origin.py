import json
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.origin import origin_of, origin_words, record_origin
from hybrid_retrieval.data.parallel import read_manifest
from hybrid_retrieval.data.sets import DataSet, data_sets
from hybrid_retrieval.errors import UserError
from tests.data.memory_reader import SMALL, MemoryReader


def _set(reader: str, path: Path | str | None, licence: str | None = None, **options: str) -> DataSet:
    return DataSet(reader, None if path is None else str(path), None, options, licence=licence)


def test_published_licence_and_the_users_word(tmp_path: Path) -> None:
    published = origin_of(_set("mfaq", tmp_path), tmp_path)
    assert published["licence"] == "CC0 1.0"
    assert published["path"] == str(tmp_path)
    assert "huggingface.co/datasets/clips/mfaq" in origin_words(published)
    own = origin_of(_set("mfaq", tmp_path, "ours"), tmp_path)
    assert (own["licence"], "url" in own) == ("ours", False)


def test_a_licence_beside_the_data_is_named(tmp_path: Path) -> None:
    assert "unknown (say it with data.licence=...)" in origin_words(
        origin_of(_set("jsonl", tmp_path), tmp_path)
    )
    (tmp_path / "LICENSE.md").write_text("\n# Some Licence 2.0\n\ntext\n", encoding="utf-8")
    (tmp_path / "en.csv").write_text("", encoding="utf-8")
    for path in (tmp_path, tmp_path / "en.csv"):
        origin = origin_of(_set("csv", path), tmp_path)
        assert (origin["licence_file"], origin["licence_file_says"]) == ("LICENSE.md", "Some Licence 2.0")
        assert origin_words(origin).startswith("licence: Some Licence 2.0 (LICENSE.md); from ")


def test_a_set_of_the_hub_has_id_and_commit(tmp_path: Path) -> None:
    note = {"hub_id": "owner/name", "revision": "v1", "commit": "c" * 40}
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "owner--name-0123.json").write_text(json.dumps(note), encoding="utf-8")
    origin = origin_of(_set("hub", "owner/name", revision="v1"), tmp_path)
    assert (origin["hub"], origin["commit"]) == ("owner/name", "c" * 40)
    assert origin["url"] == "https://huggingface.co/datasets/owner/name"
    assert "commit" not in origin_of(_set("hub", "owner/name"), tmp_path)


def test_recording_keeps_the_fingerprint_and_what_was_known(tmp_path: Path) -> None:
    folder = tmp_path / "c"
    build_corpus(MemoryReader(SMALL), folder)
    before = read_manifest(folder)
    record_origin(folder, {"reader": "jsonl", "licence": "A", "url": "https://example.org"})
    record_origin(folder, {"reader": "jsonl", "path": "/somewhere"})
    after = read_manifest(folder)
    assert after.fingerprint == before.fingerprint
    assert after.source["fingerprint"] == before.source["fingerprint"]
    assert (after.source["licence"], after.source["path"]) == ("A", "/somewhere")
    record_origin(folder, {"reader": "jsonl", "licence": "B"})
    assert "url" not in read_manifest(folder).source
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []


def test_a_licence_is_a_text() -> None:
    cfg = {"reader": "jsonl", "path": "faq", "options": {}, "licence": "CC BY 4.0"}
    assert data_sets(OmegaConf.create(cfg))[0].licence == "CC BY 4.0"
    with pytest.raises(UserError, match=r"data\.licence must be a text"):
        data_sets(OmegaConf.create({**cfg, "licence": 4}))
    sets = [{"reader": "jsonl", "path": "faq", "licence": "ours"}]
    assert data_sets(OmegaConf.create({"path": None, "sets": sets}))[0].licence == "ours"
