"""Damage to a valid folder: to what is in one of its files, or to the file itself."""

import gzip
import os
import zlib
from collections.abc import Callable
from pathlib import Path
from random import Random

import pyarrow as pa

from tests.fuzz.bytes_mutators import BINARY, TEXT
from tests.fuzz.json_mutators import json_mutated
from tests.fuzz.table_mutators import parquet_mutated, separated_mutated

FileMutator = Callable[[Random, Path], None]
_BINARY_ENDINGS = (".parquet", ".npz", ".npy", ".arrow", ".safetensors", ".bin")


def damage(random: Random, folder: Path) -> str:
    """Change one file of a folder, sometimes two; says what was done, for the report of a finding."""
    done = []
    for _ in range(random.choice([1, 1, 1, 1, 2])):
        files = sorted(path for path in folder.rglob("*") if path.is_file())
        if not files:
            break
        path = random.choice(files)
        mutator = random.choice(_ON_DISK) if random.random() < 0.06 else _content
        mutator(random, path)
        done.append(f"{path.relative_to(folder)}: {mutator.__name__}")
    return "; ".join(done)


def _content(random: Random, path: Path) -> None:
    data = path.read_bytes()
    inside = path.suffix == ".gz" and random.random() < 0.7
    if inside:
        try:
            data = gzip.decompress(data)
        except (OSError, EOFError, zlib.error):  # damaged by an earlier change
            inside = False
    name = path.name.removesuffix(".gz") if inside else path.name
    changed = _changed(random, name, data)
    path.write_bytes(gzip.compress(changed, 1) if inside else changed)


def _changed(random: Random, name: str, data: bytes) -> bytes:
    structured: Callable[[Random, bytes], bytes] | None = None
    if name.endswith((".json", ".jsonl")):
        structured = json_mutated
    elif name.endswith((".csv", ".tsv", ".trec", ".qrels", ".txt")):
        structured = separated_mutated
    elif name.endswith(".parquet"):
        structured = parquet_mutated
    if structured is not None and random.random() < 0.5:
        try:
            return structured(random, data)
        except (ValueError, OSError, pa.ArrowException):  # an earlier change, after which it is whole no more
            pass
    binary = name.endswith((*_BINARY_ENDINGS, ".gz"))
    return random.choice(BINARY if binary else TEXT)(random, data)


def _folder_in_its_place(_: Random, path: Path) -> None:
    path.unlink()
    path.mkdir()


def _removed(_: Random, path: Path) -> None:
    path.unlink()


def _link_to_itself(_: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _link_to_its_folder(_: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to("..", target_is_directory=True)


def _link_to_nothing(_: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to("nothing")


def _link_beside(_: Random, path: Path) -> None:
    (path.parent / f"loop of {path.name}").symlink_to(".", target_is_directory=True)


def _pipe(_: Random, path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _device(random: Random, path: Path) -> None:
    path.unlink()
    path.symlink_to(random.choice(["/dev/zero", "/dev/null"]))


def _not_compressed(_: Random, path: Path) -> None:
    path.rename(path.with_name(f"{path.name}.gz"))


def _compressed_without_saying(_: Random, path: Path) -> None:
    path.write_bytes(gzip.compress(path.read_bytes()))


def _twice(_: Random, path: Path) -> None:
    path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))


def _another_content(random: Random, path: Path) -> None:
    others = [other for other in sorted(path.parent.rglob("*")) if other.is_file()]
    path.write_bytes(random.choice(others).read_bytes())


def _another_name(random: Random, path: Path) -> None:
    names = ["xx", "EN", "en.en", "é", "a" * 200, "\udcff\udcfe", "-", "en\n", "en\x1b[2J"]
    path.rename(path.with_name(random.choice(names) + "".join(path.suffixes)[:30]))


_ON_DISK: tuple[FileMutator, ...] = (
    _folder_in_its_place, _removed, _link_to_itself, _link_to_its_folder, _link_to_nothing, _link_beside,
    _pipe, _device, _not_compressed, _compressed_without_saying, _twice, _another_content, _another_name,
)  # fmt: skip
