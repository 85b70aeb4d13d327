"""Inputs made to exhaust memory or time: enormous lines, deep nesting, files that expand a thousandfold."""

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

MIB = 1 << 20


@dataclass(frozen=True)
class Bomb:
    """An input, and the target that reads it."""

    target: str
    write: Callable[[Path], None]


@dataclass(frozen=True)
class Text:
    """A text that repeats something."""

    part: bytes
    count: int
    before: bytes = b""
    after: bytes = b""

    def write(self, path: Path) -> None:
        """Write it, compressed where the name says so, in place of a file that is or is not."""
        other = path.with_suffix("") if path.suffix == ".gz" else path.with_name(f"{path.name}.gz")
        other.unlink(missing_ok=True)
        path.parent.mkdir(parents=True, exist_ok=True)
        pack = partial(gzip.compress, compresslevel=6) if path.suffix == ".gz" else bytes
        many = max(1, 16 * MIB // len(self.part))
        block, rest = pack(self.part * min(many, self.count)), self.part * (self.count % many)
        with path.open("wb") as file:
            file.write(pack(self.before))
            for _ in range(self.count // many):
                file.write(block)
            file.write(pack(rest + self.after))


def _row(**fields: str) -> bytes:
    return json.dumps({"id": "1", "question": "q", "passage": "p", **fields}).encode() + b"\n"


def _in_each(files: Mapping[str, str], texts: Mapping[str, Text]) -> dict[str, Bomb]:
    def bomb(target: str, text: Text) -> Bomb:
        return Bomb(target, lambda folder: text.write(folder / files[target]))

    return {f"{what} in {files[of]} of {of}": bomb(of, text) for of in files for what, text in texts.items()}


def _large_text(size: int) -> Text:
    before, after = _row(passage="|").split(b"|")
    return Text(b"words ", size // 6, before, after)


_HEADER = b"id,question,passage,language\n"
_TEXTS: dict[str, Text] = {
    "a text of 20 MB": _large_text(20 * MIB),
    "a line of 100 MB": _large_text(100 * MIB),
    "100 MB without a line end": Text(b"x", 100 * MIB),
    "100 MB of zeros": Text(b"\0", 100 * MIB),
    "100 MB of brackets": Text(b"[", 100 * MIB),
    "a million brackets": Text(b"[", 10**6),
    "objects 100,000 deep": Text(b'{"id":', 100_000),
    "25 MB of empty lists": Text(b"[],", 8 * MIB, b'{"id": [', b"[]]}\n"),
    "25 MB of digits": Text(b"9", 25 * MIB, b'{"id": ', b"}\n"),
    "an open quotation mark before 100 MB": Text(b"word\n", 20 * MIB, _HEADER + b'1,"'),
    "quoted fields without end": Text(b'"a\n",', 8 * MIB, _HEADER),
    "10 million separators": Text(b",", 10**7, _HEADER),
    "10 million tabs": Text(b"\t", 10**7),
    "a header of a million names": Text(b"name,", 10**6, b"", b"x\n1\n"),
}
_COMPRESSED = {
    **_TEXTS,
    "2 GB of line ends": Text(b"\n", 2048 * MIB),
    "2 GB of spaces": Text(b" ", 2048 * MIB),
    "2 GB of one row": Text(_row(), 2048 * MIB // len(_row())),
}


def _table(rows: int, passage: pa.Array) -> pa.Table:
    same = pa.array(np.zeros(rows, dtype=np.int32))
    ids = pa.DictionaryArray.from_arrays(same, pa.array(["1"]))
    columns = {
        "id": ids,
        "question": ids,
        "passage": pa.DictionaryArray.from_arrays(same, passage),
        "language": pa.DictionaryArray.from_arrays(same, pa.array(["en"])),
        "negative": ids,
    }
    return pa.table(columns)


def _long_value(size: int) -> Callable[[Path], None]:
    def write(folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        pq.write_table(_table(100_000, pa.array(["x" * size])), folder / "table.parquet", compression="ZSTD")

    return write


def _many_rows(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(_table(20_000_000, pa.array(["passage"])), folder / "table.parquet", compression="ZSTD")


def _wide(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = {f"column {i}": pa.array(["x"]) for i in range(20_000)}
    pq.write_table(pa.table(columns), folder / "table.parquet")


def _plain_zeros(folder: Path) -> None:
    """Pages of hundreds of megabytes each, in a file of some kilobytes."""
    folder.mkdir(parents=True, exist_ok=True)
    texts = pa.array(["\0" * (256 * MIB)])
    table = pa.table(dict.fromkeys(("id", "question", "passage", "language"), texts))
    pq.write_table(table, folder / "table.parquet", compression="ZSTD", use_dictionary=False)


def _npz(folder: Path) -> None:
    """An array of 8 GB of zeros in a ZIP of some megabytes."""
    folder.mkdir(parents=True, exist_ok=True)
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f4", "fortran_order": False, "shape": (3, (2048 * MIB) // 3)}
    )
    for name in ("queries", "candidates"):
        with zipfile.ZipFile(folder / f"{name}.npz", "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            with archive.open("ids.npy", "w") as file:
                np.lib.format.write_array(file, np.array(["en:1", "en:2", "de:1"]))
            with archive.open("embeddings.npy", "w", force_zip64=True) as file:
                file.write(header.getvalue())
                for _ in range(256 if name == "queries" else 1):
                    file.write(bytes(MIB))


def _npy(folder: Path) -> None:
    """Headers that claim terabytes."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("queries", "candidates"):
        with (folder / f"{name}.npy").open("wb") as file:
            np.lib.format.write_array_header_1_0(
                file, {"descr": "<f4", "fortran_order": False, "shape": (3, 1 << 50)}
            )
        (folder / f"{name}.ids.txt").write_text("en:1\nen:2\nde:1\n", encoding="utf-8")


_FILES = {
    "jsonl": "en.jsonl",
    "squad": "en.json",
    "hub, json": "en.json",
    "csv, one file": "table.csv",
    "parallel_sentences, ids": "en.tsv",
    "mmarco": "data/triples.train.ids.small.tsv",
    "benchmark beir": "corpus.jsonl",
    "benchmark xquad_r": "en.json",
    "benchmark tatoeba": "tatoeba.deu-eng.deu",
    "pair weights": "metrics.json",
}
_FILES_GZ = {
    "jsonl.gz": "en.jsonl.gz",
    "squad": "en.json.gz",
    "csv.gz": "en.csv.gz",
    "mkqa": "mkqa.jsonl.gz",
    "mr_tydi": "mrtydi-v1.1-english/train.jsonl.gz",
    "parallel_sentences, lines": "en.txt.gz",
    "parallel_sentences of 2020": "TED2020/TED2020-en-de-train.tsv.gz",
    "benchmark miracl": "miracl-corpus-v1.0-ar/docs-0.jsonl.gz",
    "benchmark squadshifts.gz": "new_wiki_v1.0.json.gz",
}
BOMBS: dict[str, Bomb] = {
    **_in_each(_FILES, _TEXTS),
    **_in_each(_FILES_GZ, _COMPRESSED),
    "a value of 30 MB in every row of parquet": Bomb("parquet, one file", _long_value(30 * MIB)),
    "a value of 100 MB in every row of parquet": Bomb("parquet, one file", _long_value(100 * MIB)),
    "20 million equal rows of parquet": Bomb("parquet, one file", _many_rows),
    "20,000 columns of parquet": Bomb("parquet, one file", _wide),
    "pages of 256 MB of zeros in parquet": Bomb("parquet, one file", _plain_zeros),
    "8 GB of zeros in embeddings.npz": Bomb("embeddings.npz", _npz),
    "petabytes in the header of embeddings.npy": Bomb("embeddings.npy", _npy),
}
