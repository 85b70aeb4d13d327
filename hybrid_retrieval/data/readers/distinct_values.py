"""The distinct texts of one column, without making rows of a file."""

import zlib
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from hybrid_retrieval.data.readers.input_file import open_input
from hybrid_retrieval.data.readers.parquet_file import open_parquet, parquet_batches
from hybrid_retrieval.data.readers.records import file_format

_ROWS_AT_ONCE = 1 << 16
_BLOCK = 1 << 24  # bytes of CSV at once; a row must fit


def distinct_values(path: Path, column: str, *, quotes: bool | None = None) -> list[str] | None:
    """The distinct texts of a column of a Parquet, CSV or TSV file.

    Args:
        path: the file.
        column: its name.
        quotes: as `read_records` has it.

    Returns:
        In the order of appearance; None for other files, and where the file or a value of the column is not
        as it should be: `read_records` says what and where.
    """
    try:
        match file_format(path):
            case "parquet":
                return _distinct(_parquet(path, column))
            case "csv":
                return _distinct(_separated(path, column, ",", quotes is not False))
            case "tsv":
                return _distinct(_separated(path, column, "\t", quotes is True))
    except (pa.ArrowException, OSError, EOFError, zlib.error, KeyError, ValueError):
        pass
    return None


def _distinct(chunks: Iterator[pa.Array]) -> list[str] | None:
    found: dict[str, None] = {}
    for chunk in chunks:
        for value in pc.unique(chunk).to_pylist():
            if not isinstance(value, str) or not value.strip():
                return None
            found.setdefault(value)
    return list(found)


def _parquet(path: Path, column: str) -> Iterator[pa.Array]:
    with open_parquet(path) as file:
        for _, batch in parquet_batches(path, file, [column], _ROWS_AT_ONCE):
            yield batch.column(column)


def _separated(path: Path, column: str, separator: str, quoted: bool) -> Iterator[pa.Array]:
    with (
        open_input(path) as file,
        pa_csv.open_csv(
            file,
            read_options=pa_csv.ReadOptions(block_size=_BLOCK),
            parse_options=pa_csv.ParseOptions(
                delimiter=separator, quote_char='"' if quoted else False, newlines_in_values=quoted
            ),
            convert_options=pa_csv.ConvertOptions(
                include_columns=[column], column_types={column: pa.string()}
            ),
        ) as reader,
    ):
        for batch in reader:
            yield batch.column(0)
