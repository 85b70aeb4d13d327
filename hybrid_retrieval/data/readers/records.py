"""The rows of table files, Parquet, JSON, JSON lines, CSV and TSV, each with its place."""

import csv
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from hybrid_retrieval.data.readers.fields import object_of, parse_object
from hybrid_retrieval.data.readers.input_file import LONGEST_LINE, cannot_be_read, check_input
from hybrid_retrieval.data.readers.language_files import iter_lines, read_json, read_lines
from hybrid_retrieval.data.readers.parquet_file import DAMAGE, open_parquet, parquet_batches, reason_of
from hybrid_retrieval.errors import UserError

Format = Literal["parquet", "jsonl", "json", "csv", "tsv"]
Record = tuple[str, dict[str, object]]
FORMATS: tuple[Format, ...] = ("parquet", "jsonl", "json", "csv", "tsv")

_ROWS_AT_ONCE = 1024
_LFS = b"version https://git-lfs"


def file_format(path: Path) -> Format | None:
    """The format that a file's name ends in, before `.gz`; None for any other file."""
    suffix = path.name.removesuffix(".gz").rpartition(".")[2]
    return next((known for known in FORMATS if known == suffix), None)


def read_records(
    path: Path,
    columns: Sequence[str] | None = None,
    *,
    names: Sequence[str] | None = None,
    quotes: bool | None = None,
) -> Iterator[Record]:
    """Yield place and content of each row of a file.

    The place names the line (of CSV, the line on which the row starts), the row and row group of Parquet,
    or the position in a JSON list; rows and lines count from 1. Text files are UTF-8, may be compressed
    (`.gz`), and blank lines are passed over. The values of CSV and TSV are strings.

    Args:
        path: a file of one of `FORMATS`.
        columns: those wanted, which alone are read from Parquet; None for all.
        names: of the columns of a CSV or TSV file without a header; None takes the first line.
        quotes: whether a field of CSV or TSV may be quoted, to hold separators and line ends; None: of CSV.

    Raises:
        UserError: the file is of no known format, damaged or cut off, or lacks a column.
    """
    _refuse_pointer(path)
    match file_format(path):
        case "parquet":
            return _parquet(path, columns)
        case "jsonl":
            return _json_lines(path)
        case "json":
            return _json(path)
        case "csv" | "tsv":
            return _separated(path, columns, names, quotes)
    raise UserError(f"{path}: not a file of a known format. Its name must end in {', '.join(FORMATS)}[.gz].")


def column_names(path: Path, *, quotes: bool | None = None) -> list[str]:
    """The columns of a file: of JSON and JSON lines, the fields of its first row.

    Raises:
        UserError: as `read_records`.
    """
    _refuse_pointer(path)
    if file_format(path) == "parquet":
        with open_parquet(path) as file:
            return list(file.schema_arrow.names)
    if file_format(path) in ("csv", "tsv"):
        return next((row for _, row in _csv_rows(path, quotes)), [])
    return next((list(record) for _, record in read_records(path)), [])


def _refuse_pointer(path: Path) -> None:
    check_input(path)
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS))
    except OSError as error:
        raise cannot_be_read(path, error) from None
    if start == _LFS:
        raise UserError(
            f"{path}: a pointer of Git LFS, not the file itself. Run `git lfs pull` in its repository, or "
            "download the file."
        )


def _parquet(path: Path, columns: Sequence[str] | None) -> Iterator[Record]:
    with open_parquet(path) as file:
        if columns is not None:
            _check_columns(path, columns, file.schema_arrow.names)
        row = 0
        try:
            for group, batch in parquet_batches(path, file, columns, _ROWS_AT_ONCE):
                for record in batch.to_pylist():
                    row += 1
                    yield f"{path}: row {row} (row group {group})", record
        except DAMAGE as error:
            raise UserError(
                f"{path}: row {row + 1} or one soon after it cannot be read ({reason_of(error)}). Get the "
                "file again."
            ) from None


def _json_lines(path: Path) -> Iterator[Record]:
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        yield where, parse_object(line, where)


def _json(path: Path) -> Iterator[Record]:
    first = next((line for _, line in read_lines(path)), "")
    if not first.lstrip().startswith("["):
        yield from _json_lines(path)
        return
    rows = read_json(path)
    for position, row in enumerate(rows, start=1):
        where = f"{path}: item {position}"
        yield where, object_of(row, where)


def _separated(
    path: Path, columns: Sequence[str] | None, names: Sequence[str] | None, quotes: bool | None
) -> Iterator[Record]:
    for line, row in _csv_rows(path, quotes):
        if names is None:
            names = row
            _check_header(path, line, names)
            if columns is not None:
                _check_columns(path, columns, names)
            continue
        if len(row) != len(names):
            hint = (
                " Is a field with a separator or a line end in it not quoted?"
                if _quoted(path, quotes)
                else " Are its fields quoted? Then set data.options.quotes=true."
            )
            raise UserError(
                f"{path}:{line}: {len(row)} fields, but there are {len(names)} columns "
                f"({', '.join(names)}).{hint}"
            )
        yield f"{path}:{line}", dict(zip(names, row, strict=True))


def _quoted(path: Path, quotes: bool | None) -> bool:
    return file_format(path) == "csv" if quotes is None else quotes


def _csv_rows(path: Path, quotes: bool | None) -> Iterator[tuple[int, list[str]]]:
    """Number of the line on which a row starts, and its fields; rows without text are passed over."""
    separator = "," if file_format(path) == "csv" else "\t"
    if not _quoted(path, quotes):
        for number, line in read_lines(path):
            yield number, line.rstrip("\r\n").split(separator)
        return
    csv.field_size_limit(LONGEST_LINE)  # csv's own limit of 131,072 is less than a long page
    rows = csv.reader(iter_lines(path), delimiter=separator, strict=True)
    start = 1
    while True:
        try:
            row = next(rows, None)
        except csv.Error as error:
            raise UserError(
                f"{path}:{start}: the row that starts here is not well quoted: {error}. Is a quotation mark "
                "left open, or not doubled inside a field?"
            ) from None
        if row is None:
            return
        if any(field.strip() for field in row):
            yield start, row
        start = rows.line_num + 1


def _check_header(path: Path, line: int, names: Sequence[str]) -> None:
    twice = sorted(name for name, times in Counter(names).items() if times > 1)
    if twice:
        raise UserError(f"{path}:{line}: the header names the column {twice[0]!r} twice. Rename one.")


def _check_columns(path: Path, columns: Sequence[str], names: Sequence[str]) -> None:
    missing = [column for column in columns if column not in names]
    if missing:
        raise UserError(
            f"{path}: no column {missing[0]!r}; it has {', '.join(map(repr, names))}. Correct "
            "data.options.columns."
        )
