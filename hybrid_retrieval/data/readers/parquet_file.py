"""Parquet in batches of bounded size, whatever its metadata and its dictionaries say."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hybrid_retrieval.data.readers.input_file import check_expansion, check_input
from hybrid_retrieval.errors import UserError

DAMAGE = (pa.ArrowException, OSError, ValueError, ArithmeticError, MemoryError, NotImplementedError)
"""What Arrow raises where a file, or a value in it, is not as it should be."""

_BATCH_BYTES = 1 << 26
_FREE = 1 << 25  # a few texts in every row of a small table are not far from a file that is made to expand
_SMALL = 1 << 16  # bytes of a row group of which any batch is small


def open_parquet(path: Path) -> pq.ParquetFile:
    """Open a file.

    Raises:
        UserError: it is no whole Parquet file, or one that expands beyond all texts.
    """
    check_input(path)
    try:
        file = pq.ParquetFile(path)
        check_parquet(path, file)
    except DAMAGE as error:
        raise UserError(
            f"{path}: not a whole Parquet file ({reason_of(error)}). Get the file again."
        ) from None
    return file


def check_parquet(path: Path, file: pq.ParquetFile) -> None:
    """Refuse a file that expands as no text does, by its own account.

    Raises:
        UserError: it is one.
    """
    # The metadata of a column is left alone: Arrow ends the process where it is damaged.
    metadata = file.metadata
    sizes = (metadata.row_group(group).total_byte_size for group in range(metadata.num_row_groups))
    expanded = sum(size for size in sizes if size > 0)
    check_expansion(path, expanded, path.stat().st_size, _FREE)


def parquet_batches(
    path: Path, file: pq.ParquetFile, columns: Sequence[str] | None, rows: int
) -> Iterator[tuple[int, pa.RecordBatch]]:
    """Yield the rows of a file, each batch with its row group.

    A value may stand in a dictionary once and in every row: batches are so small that they have less than
    about 64 MiB, or one row.

    Args:
        path: the file.
        file: as `open_parquet` gives it.
        columns: those to read, or None for all.
        rows: of a batch, at most.

    Raises:
        UserError: it expands beyond all texts.
        Exception: one of `DAMAGE`.
    """
    size, delivered = path.stat().st_size, 0
    for group in range(file.num_row_groups):
        longest = _longest_in_dictionaries(path, file, group, columns)
        at_once = max(1, min(rows, _BATCH_BYTES // max(1, longest)))
        for batch in file.iter_batches(at_once, row_groups=[group], columns=columns):
            delivered += batch.nbytes
            check_expansion(path, delivered, size, _FREE)
            yield group, batch


def reason_of(error: BaseException) -> str:
    """The first line of what a library says."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _longest_in_dictionaries(
    path: Path, file: pq.ParquetFile, group: int, columns: Sequence[str] | None
) -> int:
    """Bytes of the longest text in the dictionary of a column of a row group, 0 where they are all short."""
    if file.metadata.row_group(group).total_byte_size <= _SMALL:
        return 0
    schema = [file.schema.column(number) for number in range(len(file.schema))]
    leaves = [
        leaf.path
        for leaf in schema
        if leaf.physical_type == "BYTE_ARRAY"
        and (columns is None or {leaf.path, _top(leaf.path)} & set(columns))
    ]
    if not leaves:
        return 0
    with pq.ParquetFile(path, read_dictionary=leaves, buffer_size=1 << 20) as encoded:
        names = list(dict.fromkeys(map(_top, leaves)))
        first = next(encoded.iter_batches(1, row_groups=[group], columns=names), None)
    return max((_longest(column) for column in first.columns), default=0) if first is not None else 0


def _top(leaf: str) -> str:
    return leaf.partition(".")[0]


def _longest(column: pa.Array) -> int:
    if pa.types.is_dictionary(column.type):
        return pc.max(pc.binary_length(column.dictionary)).as_py() or 0
    if pa.types.is_struct(column.type):
        return max(map(_longest, column.flatten()), default=0)
    if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
        return _longest(column.values)
    return 0
