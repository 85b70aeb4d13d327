from pathlib import Path

import pytest

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.cache import cache_folder


def test_cache_folder_in_order_of_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HYBRID_RETRIEVAL_CACHE", raising=False)
    assert cache_folder() == tmp_path / ".cache" / "hybrid-retrieval"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert cache_folder() == tmp_path / "xdg" / "hybrid-retrieval"
    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", "~/own")
    assert cache_folder() == tmp_path / "own"
    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", "")
    assert cache_folder() == tmp_path / "xdg" / "hybrid-retrieval"
    assert not (tmp_path / "xdg").exists()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_atomic_folder_appears_whole_and_replaces_whole(tmp_path: Path) -> None:
    target = tmp_path / "a" / "model"
    with atomic_folder(target) as new:
        (new / "one").write_text("1")
        (new / "one").chmod(0o600)
        assert not target.exists()
    assert (target / "one").stat().st_mode & 0o777 == target.stat().st_mode & 0o666
    with atomic_folder(target) as new:
        (new / "two").write_text("2")
        assert names(target) == ["one"]
    assert names(target) == ["two"]
    assert names(tmp_path / "a") == ["model"]


def _fail_halfway(target: Path) -> None:
    with atomic_folder(target) as new:
        (new / "half").write_text("1")
        raise RuntimeError


def test_atomic_folder_leaves_the_old_one_when_the_block_fails(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for _ in range(2):
        with pytest.raises(RuntimeError):
            _fail_halfway(target)
        assert names(tmp_path) == (["model"] if target.exists() else [])
        with atomic_folder(target) as new:
            (new / "whole").write_text("1")
    assert names(target) == ["whole"]


def test_atomic_folder_keeps_what_another_process_put_there(tmp_path: Path) -> None:
    target = tmp_path / "model"
    with atomic_folder(target) as mine:
        (mine / "mine").write_text("1")
        with atomic_folder(target) as other:
            (other / "other").write_text("1")
    assert names(target) == ["mine"]
    assert names(tmp_path) == ["model"]
