"""A column of texts in a memory-mapped Arrow file."""

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

import pyarrow as pa

from hybrid_retrieval.errors import UserError

BATCH_ROWS = 16_384
_SCHEMA = pa.schema([pa.field("text", pa.large_string())])


def write_texts(path: Path, texts: Iterable[str | None], *, batch_rows: int = BATCH_ROWS) -> None:
    """Write texts to an uncompressed Arrow IPC file, in record batches of `batch_rows` rows.

    Equal texts give equal bytes. The file is not written atomically: write it inside an `atomic_folder`.

    Args:
        path: the file to write; its folder exists.
        texts: the rows in order; None is a null.
        batch_rows: rows of every record batch but the last.
    """
    rest = iter(texts)
    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, _SCHEMA) as writer:
        while rows := list(islice(rest, batch_rows)):
            column = pa.array(rows, type=pa.large_string())
            writer.write_batch(pa.record_batch([column], schema=_SCHEMA))


class MappedTexts:
    """Random access to a file of `write_texts`; pages of it are loaded as they are read.

    Pickles as its path alone and maps the file again, so that it can be sent to DataLoader workers.

    Args:
        path: a file of `write_texts`.

    Raises:
        UserError: the file is missing or is not such a file.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        try:
            self._file = pa.ipc.open_file(pa.memory_map(str(path)))
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
        except (pa.ArrowInvalid, OSError) as error:
            raise UserError(
                f"{path}: damaged ({error}). Delete the prepared folder that it lies in and prepare again."
            ) from None

    def __len__(self) -> int:
        return self._rows

    def __getitem__(self, row: int) -> str | None:
        """Text of a row, or None where it is null."""
        if not 0 <= row < self._rows:
            raise IndexError(f"{self._path}: row {row} of {self._rows}")
        batch, position = divmod(int(row), self._batch_rows)
        text: str | None = self._column(batch)[position].as_py()
        return text

    def __iter__(self) -> Iterator[str | None]:
        for batch in range(len(self._columns)):
            yield from self._column(batch).to_pylist()

    def __reduce__(self) -> tuple[type["MappedTexts"], tuple[Path]]:
        return MappedTexts, (self._path,)

    def _column(self, batch: int) -> pa.LargeStringArray:
        column = self._columns[batch]
        if column is None:
            column = self._columns[batch] = self._file.get_batch(batch).column(0)
        return column
