"""Embeddings that were made elsewhere, in files with the ids of what they embed."""

import hashlib
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from hybrid_retrieval.data.array_files import DAMAGED_ARRAY
from hybrid_retrieval.data.readers.input_file import check_expansion, check_input
from hybrid_retrieval.data.readers.parquet_file import check_parquet
from hybrid_retrieval.errors import UserError

if TYPE_CHECKING:
    from hybrid_retrieval.models.text_tokenizer import TextKind

log = logging.getLogger(__name__)

FORMS = (
    ".npz with the arrays `ids` (text) and `embeddings` (float16 or float32), .parquet with the columns `id` "
    "and `embedding`, or NAME.npy beside NAME.ids.txt with one id a line"
)


DAMAGE = (*DAMAGED_ARRAY, pa.ArrowException)


class EmbeddingFiles:
    """The embeddings of queries and of candidates, looked up by id; texts play no part.

    The scores are the inner products of what the files hold: normalise the embeddings first if the cosine is
    meant. Forms of a file, by its ending: `.npz` with arrays `ids` (unicode text) and `embeddings` (n, d);
    `.parquet` with columns `id` (text) and `embedding` (a list of floats); `NAME.npy` (n, d), which is mapped
    into memory, with the ids in `NAME.ids.txt`, UTF-8, one a line. Ids that a benchmark does not ask for are
    ignored.

    Args:
        queries: file of the queries' embeddings.
        candidates: file of the candidates' embeddings.
        name: what metrics.json calls the model; None is the two files' names.

    Raises:
        UserError: a file is missing, damaged, of another form, repeats an id, or the dimensions differ.
    """

    def __init__(self, *, queries: Path, candidates: Path, name: str | None = None) -> None:
        self.files: dict[TextKind, Path] = {"query": Path(queries), "passage": Path(candidates)}
        self.name = name or f"{self.files['query'].name} + {self.files['passage'].name}"
        self._rows: dict[TextKind, dict[str, int]] = {}
        self._embeddings: dict[TextKind, np.ndarray] = {}
        for kind, path in self.files.items():
            ids, self._embeddings[kind] = read_embeddings(path)
            self._rows[kind] = {identity: row for row, identity in enumerate(ids)}
            if len(self._rows[kind]) < len(ids):
                second = next(i for row, i in enumerate(ids) if self._rows[kind][i] != row)
                raise UserError(f"{path}: the id {second!r} occurs more than once. Keep one embedding an id.")
        of_queries, of_candidates = (each.shape[1] for each in self._embeddings.values())
        if of_queries != of_candidates:
            raise UserError(
                f"{self.files['query']} holds embeddings of {of_queries} dimensions, {self.files['passage']} "
                f"of {of_candidates}. Make both with one model."
            )

    def alone(self) -> "tuple[EmbeddingFiles, str]":
        """Itself, and the SHA-256 of its files."""
        digest = hashlib.sha256()
        for path in self.files.values():
            for part in (path, path.with_suffix(".ids.txt")):
                if part.is_file():
                    with part.open("rb") as file:
                        digest.update(hashlib.file_digest(file, "sha256").digest())
        return self, digest.hexdigest()

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: "TextKind", *, title: str | None = None
    ) -> np.ndarray:
        """Look up the embeddings of ids.

        Raises:
            UserError: an id has none, or one with NaN or infinity.
        """
        path, rows = self.files[kind], self._rows[kind]
        missing = [identity for identity in ids if identity not in rows]
        if missing:
            what = "queries" if kind == "query" else "candidates"
            example = f" (it does hold {next(iter(rows))!r})" if rows else ""
            raise UserError(
                f"{path} has no embedding for {len(missing)} of the benchmark's {len(ids)} {what}, first "
                f"{missing[0]!r}{example}. Embed every text of the benchmark under its id."
            )
        found = self._embeddings[kind][[rows[identity] for identity in ids]].astype(np.float32)
        broken = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(broken):
            raise UserError(
                f"{path}: {len(broken)} of {len(ids)} embeddings hold NaN or infinity, first that of "
                f"{ids[broken[0]]!r}. Embed these texts again."
            )
        if len(rows) > len(ids):
            log.info("%s: %d embeddings of other benchmarks are ignored", path, len(rows) - len(ids))
        embeddings: np.ndarray = found
        return embeddings


def read_embeddings(path: Path) -> tuple[list[str], np.ndarray]:
    """Ids and embeddings of a file, in the file's order.

    Returns:
        n ids, and float (n, d); of a `.npy` file a memory map.

    Raises:
        UserError: the file is missing, damaged or of another form.
    """
    readers = {".npz": _read_npz, ".parquet": _read_parquet, ".npy": _read_npy}
    if path.suffix not in readers:
        raise UserError(f"{path}: files of embeddings are {FORMS}.")
    for part in (path, path.with_name(f"{path.stem}.ids.txt")):
        if part.exists():
            check_input(part)
    try:
        ids, embeddings = readers[path.suffix](path)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file. Files of embeddings are {FORMS}.") from error
    except DAMAGE as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{path} cannot be read ({reason}). Files of embeddings are {FORMS}.") from error
    if embeddings.ndim != 2 or embeddings.dtype.kind != "f" or not embeddings.shape[1]:
        raise UserError(
            f"{path}: the embeddings are {embeddings.dtype} of shape {embeddings.shape}; floats of shape "
            "(number of ids, dimension) are needed."
        )
    if len(ids) != len(embeddings):
        raise UserError(f"{path}: {len(ids)} ids, but {len(embeddings)} embeddings. Give each its id.")
    return ids, embeddings


def _read_npz(path: Path) -> tuple[list[str], np.ndarray]:
    with path.open("rb") as opened:
        file = np.load(opened, allow_pickle=False)
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("it is no .npz archive")
        assert file.zip is not None
        expanded = sum(part.file_size for part in file.zip.infolist())
        check_expansion(path, expanded, path.stat().st_size)
        ids, embeddings = file["ids"], file["embeddings"]
    if ids.dtype.kind != "U" or ids.ndim != 1:
        raise ValueError(f"`ids` is {ids.dtype} of shape {ids.shape}, not text: np.array(ids, dtype=str)")
    return ids.tolist(), embeddings


def _read_npy(path: Path) -> tuple[list[str], np.ndarray]:
    embeddings = np.load(path, mmap_mode="r", allow_pickle=False)
    lines = path.with_name(f"{path.stem}.ids.txt").read_text(encoding="utf-8").split("\n")
    ids = lines[:-1] if lines[-1] == "" else lines
    return ids, embeddings


def _read_parquet(path: Path) -> tuple[list[str], np.ndarray]:
    if not path.is_file():
        raise FileNotFoundError(2, "No such file", str(path))
    with pq.ParquetFile(path) as file:
        check_parquet(path, file)
        if missing := {"id", "embedding"} - set(file.schema_arrow.names):
            raise ValueError(f"it has no column {max(missing)!r}")
        table = file.read(columns=["id", "embedding"])
    ids, embeddings = table["id"].combine_chunks(), table["embedding"].combine_chunks()
    if not (pa.types.is_string(ids.type) or pa.types.is_large_string(ids.type)):
        raise ValueError(f"the column 'id' is {ids.type}, not text")
    of_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(is_list(embeddings.type) for is_list in of_list):
        raise ValueError(f"the column 'embedding' is {embeddings.type}, not a list of floats")
    if ids.null_count or embeddings.null_count:
        raise ValueError(f"{ids.null_count + embeddings.null_count} ids or embeddings are null")
    lengths = embeddings.value_lengths().to_numpy(zero_copy_only=False)
    if len(lengths) and (other := np.flatnonzero(lengths != lengths[0])).size:
        raise ValueError(
            f"the embedding of {ids[int(other[0])].as_py()!r} has {lengths[other[0]]} dimensions, the first "
            f"{lengths[0]}"
        )
    values = embeddings.flatten()
    if values.null_count:
        raise ValueError("an embedding holds a null")
    flat = values.to_numpy(zero_copy_only=False)
    return ids.to_pylist(), flat.reshape(len(ids), int(lengths[0]) if len(lengths) else 1)
