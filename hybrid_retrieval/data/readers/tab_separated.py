"""Large tab-separated files without quotes: read by Arrow, and by lines only to say what is wrong."""

from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from hybrid_retrieval.data.readers.input_file import check_input
from hybrid_retrieval.data.readers.language_files import iter_lines
from hybrid_retrieval.data.readers.parquet_file import reason_of
from hybrid_retrieval.errors import UserError

BLOCK_BYTES = 1 << 22
_DIGITS = 20  # an integer of 64 bits has at most 19
INTEGER, TEXT = pa.int64(), pa.large_string()


def read_columns(path: Path, columns: Mapping[str, pa.DataType]) -> Iterator[pa.RecordBatch]:
    """Yield the rows of a file in batches of about 4 MB; blank lines are passed over.

    Args:
        path: a UTF-8 file of one row a line, no header; a quotation mark is a character like others.
        columns: names for messages and types, `INTEGER` or `TEXT`, in order; every row has all of them.

    Raises:
        UserError: the file is missing or malformed; the message names the line.
    """
    if not path.exists():
        raise UserError(f"{path}: missing. Get the file.")
    check_input(path)
    try:
        stream = csv.open_csv(
            str(path),
            csv.ReadOptions(column_names=list(columns), block_size=BLOCK_BYTES, use_threads=False),
            csv.ParseOptions(delimiter="\t", quote_char=False, escape_char=False, newlines_in_values=False),
            csv.ConvertOptions(column_types=dict(columns), null_values=[], strings_can_be_null=False),
        )
        for batch in stream:
            if any(_has_blank(batch.column(name)) for name, of in columns.items() if of == TEXT):
                raise pa.ArrowInvalid("an empty text")
            yield batch
    except (pa.ArrowException, OSError) as error:
        raise _what_is_wrong(path, columns, error) from None


def _has_blank(column: pa.Array) -> bool:
    blank = pc.or_(pc.equal(pc.binary_length(column), 0), pc.utf8_is_space(column))
    return bool(pc.any(blank).as_py())


def _what_is_wrong(path: Path, columns: Mapping[str, pa.DataType], error: Exception) -> UserError:
    """The first line that is not as it should be."""
    for number, line in enumerate(iter_lines(path), start=1):
        text = line.rstrip("\n").removesuffix("\r")
        if text and (reason := _reason(text, columns)):
            shape = "<tab>".join(columns)
            return UserError(f"{path}:{number}: {reason}. Every line must be {shape}: correct the line.")
    return UserError(f"{path}: cannot be read ({reason_of(error)}). Get the file again.")


def _reason(text: str, columns: Mapping[str, pa.DataType]) -> str | None:
    fields = text.split("\t")
    if len(fields) != len(columns):
        return f"{len(fields)} fields separated by tabs instead of {len(columns)}"
    for field, (name, kind) in zip(fields, columns.items(), strict=True):
        if kind == INTEGER:
            # Arrow's integers: no sign but a minus, no space, no underscore, 64 bits.
            digits = field.removeprefix("-")
            short = len(digits.lstrip("0")) < _DIGITS
            if not (digits.isascii() and digits.isdigit() and short and abs(int(digits)) < 1 << 63):
                return f"the {name} is {field[:40]!r}, which is no whole number"
        elif not field.strip():
            return f"the {name} is empty"
        elif "\r" in field:
            return f"the {name} holds a carriage return"
    return None
