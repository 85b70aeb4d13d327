"""A column of texts in a memory-mapped Arrow file."""

import mmap
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Self

import numpy as np
import pyarrow as pa

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.triples import IntArray

BATCH_ROWS = 16_384
LOOK_UPS = 2048
_DAMAGE = (pa.ArrowException, OSError, ValueError, IndexError)
_SCHEMA = pa.schema([pa.field("text", pa.large_string())])


class TextWriter:
    """Writes texts to an uncompressed Arrow IPC file, in record batches of `batch_rows` rows.

    Equal texts give equal bytes, however they are divided among calls. The file is not written atomically:
    write it inside an `atomic_folder`. A context manager; the file is complete when the block ends.

    Args:
        path: the file to write; its folder exists.
        batch_rows: rows of every record batch but the last, which memory holds.

    Attributes:
        rows: written so far.
    """

    def __init__(self, path: Path, *, batch_rows: int = BATCH_ROWS) -> None:
        self.rows = 0
        self._batch_rows = batch_rows
        self._waiting: list[pa.LargeStringArray] = []
        self._waiting_rows = 0
        self._sink = pa.OSFile(str(path), "wb")
        self._writer = pa.ipc.new_file(self._sink, _SCHEMA)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: type[BaseException] | None, *_: object) -> None:
        if failed is None and self._waiting_rows:
            self._write(self._joined())
        self._writer.close()
        self._sink.close()

    def write(self, texts: Sequence[str | None] | pa.Array) -> None:
        """Append texts; None is a null."""
        column = texts.cast(pa.large_string()) if isinstance(texts, pa.Array) else _column_of(texts)
        self.rows += len(column)
        self._waiting.append(column)
        self._waiting_rows += len(column)
        if self._waiting_rows < self._batch_rows:
            return
        column = self._joined()
        full = len(column) - len(column) % self._batch_rows
        for start in range(0, full, self._batch_rows):
            self._write(column[start : start + self._batch_rows])
        self._waiting, self._waiting_rows = [column[full:]], len(column) - full

    def _joined(self) -> pa.LargeStringArray:
        return pa.concat_arrays(self._waiting) if len(self._waiting) > 1 else self._waiting[0]

    def _write(self, column: pa.LargeStringArray) -> None:
        # A copy: a slice would be written with some of what lies beside it.
        column = column.take(pa.array(np.arange(len(column))))
        self._writer.write_batch(pa.record_batch([column], schema=_SCHEMA))


def write_texts(path: Path, texts: Iterable[str | None], *, batch_rows: int = BATCH_ROWS) -> None:
    """Write texts with a `TextWriter`.

    Args:
        path: the file to write; its folder exists.
        texts: the rows in order; None is a null.
        batch_rows: rows of every record batch but the last.
    """
    rest = iter(texts)
    with TextWriter(path, batch_rows=batch_rows) as writer:
        while rows := list(islice(rest, batch_rows)):
            writer.write(rows)


def _column_of(texts: Sequence[str | None]) -> pa.LargeStringArray:
    return pa.array(texts, type=pa.large_string())


class MappedTexts:
    """Random access to a file of `write_texts`; pages of it are loaded as they are read.

    Pickles as its path alone and maps the file again, so that it can be sent to DataLoader workers. Pages are
    given back after every `LOOK_UPS` single texts, so that those of a large file do not add up in the
    resident memory of a long run; they stay in the system's cache of files.

    Args:
        path: a file of `write_texts`.

    Raises:
        UserError: the file is missing or is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._look_ups = 0
        try:
            with path.open("rb") as file:
                self._pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._file = pa.ipc.open_file(pa.py_buffer(self._pages))
            if self._file.schema != _SCHEMA:
                raise pa.ArrowInvalid(f"has the columns {self._file.schema.names}")
            batches = self._file.num_record_batches
            self._columns: list[pa.LargeStringArray | None] = [None] * batches
            self._batch_rows = len(self._column(0)) if batches else 1
            self._rows = (batches - 1) * self._batch_rows + len(self._column(batches - 1)) if batches else 0
        except FileNotFoundError:
            raise UserError(
                f"{path}: missing. Delete the prepared folder that it belongs to and prepare again."
            ) from None
        except _DAMAGE as error:
            raise self._damaged(error) from None

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> str | None:
        """Text of a row, or None where it is null."""
        if not 0 <= row < self._rows:
            raise IndexError(f"{self._path}: row {row} of {self._rows}")
        self._look_ups += 1
        if self._look_ups % LOOK_UPS == 0 and hasattr(mmap, "MADV_DONTNEED"):
            self._pages.madvise(mmap.MADV_DONTNEED)
        batch, position = divmod(int(row), self._batch_rows)
        try:
            text: str | None = self._column(batch)[position].as_py()
        except _DAMAGE as error:
            raise self._damaged(error) from None
        return text

    def __iter__(self) -> Iterator[str | None]:
        for batch in range(len(self._columns)):
            yield from self._column(batch).to_pylist()

    def take(self, rows: IntArray) -> pa.LargeStringArray:
        """Texts of some rows, null where a row is -1; record batches are visited one after another.

        Args:
            rows: int64 (n,), in any order.
        """
        there = np.flatnonzero(rows >= 0)
        batches, within = np.divmod(rows[there], self._batch_rows)
        by_batch = np.argsort(batches, kind="stable")
        cuts = np.flatnonzero(np.diff(batches[by_batch])) + 1
        parts = [
            self._column(int(batches[group[0]])).take(pa.array(within[group]))
            for group in np.split(by_batch, cuts)
            if len(group)
        ]
        order = np.full(len(rows), -1, dtype=np.int64)
        order[there[by_batch]] = np.arange(len(there))
        return pa.concat_arrays([_column_of([]), *parts]).take(pa.array(order, mask=order < 0))

    def _damaged(self, error: Exception) -> UserError:
        return UserError(
            f"{self._path}: damaged ({error}). Delete the prepared folder that it lies in and prepare again."
        )

    def __reduce__(self) -> tuple[type["MappedTexts"], tuple[Path]]:
        return MappedTexts, (self._path,)

    def _column(self, batch: int) -> pa.LargeStringArray:
        column = self._columns[batch]
        if column is None:
            try:
                column = self._file.get_batch(batch).column(0)
                _check_offsets(column)
            except _DAMAGE as error:
                raise self._damaged(error) from None
            self._columns[batch] = column
        return column


def _check_offsets(column: pa.LargeStringArray) -> None:
    """Refuse texts that lie outside the file: Arrow would read what is there, or end the process."""
    _, places, texts = column.buffers()
    if not len(column):
        return
    offsets = np.frombuffer(places, np.int64, len(column) + 1, column.offset * 8)
    end = texts.size if texts is not None else 0
    if offsets[0] < 0 or offsets[-1] > end or (offsets[1:] < offsets[:-1]).any():
        raise pa.ArrowInvalid("texts that lie outside the file")
