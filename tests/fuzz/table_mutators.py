"""Tables that are whole but not what a reader expects: separated values, and Parquet."""

import io
from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

_FIELDS = (
    "",
    " ",
    '"',
    '"a',
    "a\tb",
    "a,b",
    "\0",
    "xx",
    "en",
    "-1",
    "1e5",
    "9" * 30,
    "١",
    "x" * 100_000,
    "\ufeff",
)


def separated_mutated(random: Random, data: bytes) -> bytes:
    """Lines of CSV or TSV with columns swapped, dropped, added, repeated or filled with something else."""
    separator = "\t" if b"\t" in data else ","
    rows = [line.split(separator) for line in data.decode("utf-8").split("\n")]
    width = max(map(len, rows))
    one, other = random.randrange(width), random.randrange(width)
    all_rows = random.random() < 0.5
    chosen = rows if all_rows else [random.choice(rows)]
    change = random.choice(("swap", "drop", "add", "copy", "fill", "fill", "fill", "widen"))
    for row in chosen:
        if max(one, other) >= len(row):
            continue
        match change:
            case "swap":
                row[one], row[other] = row[other], row[one]
            case "drop":
                del row[one]
            case "add":
                row.insert(one, random.choice(_FIELDS))
            case "copy":
                row[one] = row[other]
            case "fill":
                row[one] = random.choice(_FIELDS)
            case "widen":
                row.extend(["x"] * 5000)
    return "\n".join(separator.join(row) for row in rows).encode()


def parquet_mutated(random: Random, data: bytes) -> bytes:
    """A whole Parquet file whose columns are of other types or names, are missing, null, or no UTF-8."""
    table = pq.read_table(io.BytesIO(data))
    for _ in range(random.choice([1, 1, 2])):
        table = random.choice(_CHANGES)(random, table)
    sink = io.BytesIO()
    pq.write_table(
        table,
        sink,
        compression=random.choice(["NONE", "SNAPPY", "GZIP", "ZSTD", "LZ4", "BROTLI"]),
        row_group_size=random.choice([1, 2, 1000]),
        use_dictionary=random.random() < 0.5,
        version=random.choice(["1.0", "2.6"]),
        data_page_version=random.choice(["1.0", "2.0"]),
    )
    return sink.getvalue()


Change = Callable[[Random, pa.Table], pa.Table]


def _retyped(random: Random, table: pa.Table) -> pa.Table:
    if not table.num_columns:
        return table
    at = random.randrange(table.num_columns)
    n = table.num_rows
    columns: list[Any] = [
        pa.nulls(n),
        pa.nulls(n, pa.string()),
        pa.array(range(n)),
        pa.array(np.arange(n) / 3),
        pa.array([None if i % 2 else float("nan") for i in range(n)], pa.float64()),
        pa.array([b"\xff\xfe"] * n, pa.binary()),
        pa.array([[f"{i}"] for i in range(n)], pa.list_(pa.string())),
        pa.array([[]] * n, pa.list_(pa.int64())),
        pa.array([[None]] * n, pa.list_(pa.string())),
        pa.array([{"a": i} for i in range(n)], pa.struct([("a", pa.int64())])),
        pa.array([True] * n),
        pa.array(range(n), pa.timestamp("us")),
        pa.array([2**61] * n, pa.timestamp("s")),
        pa.array(range(n), pa.date32()),
        pa.array([10**6] * n, pa.decimal128(30, 2)),
        pa.array(["x"] * n, pa.large_string()),
        pa.array(["a" if i % 2 else None for i in range(n)]).dictionary_encode(),
        pa.array(["" for _ in range(n)]),
        pa.array([" \n" for _ in range(n)]),
        pa.array(["\0\x1b[1m" for _ in range(n)]),
        pa.array([[(f"{i}", i)] for i in range(n)], pa.map_(pa.string(), pa.int64())),
        pa.array([2**64 - 1] * n, pa.uint64()),
        pa.array(["y" * 100_000] * n),
        pa.array([3600] * n, pa.duration("s")),
    ]
    return table.set_column(at, table.column_names[at], random.choice(columns))


def _invalid_utf8(random: Random, table: pa.Table) -> pa.Table:
    """A column of strings whose bytes are none; Arrow does not look when it writes."""
    if not table.num_columns:
        return table
    at = random.randrange(table.num_columns)
    bad = pa.array([random.choice([b"\xff", b"a\xc3", b"\xed\xa0\x80"])] * table.num_rows, pa.binary())
    strings = pa.Array.from_buffers(pa.string(), len(bad), bad.buffers())
    return table.set_column(at, table.column_names[at], strings)


def _renamed(random: Random, table: pa.Table) -> pa.Table:
    names = list(table.column_names)
    if names:
        names[random.randrange(len(names))] = random.choice(["", "x", names[0], "a.b", "\x1b[2J", "é" * 2000])
    return table.rename_columns(names)


def _dropped(random: Random, table: pa.Table) -> pa.Table:
    return table.remove_column(random.randrange(table.num_columns)) if table.num_columns else table


def _reordered(random: Random, table: pa.Table) -> pa.Table:
    names = list(table.column_names)
    random.shuffle(names)
    return table.select(names) if len(set(names)) == len(names) else table


def _exchanged(random: Random, table: pa.Table) -> pa.Table:
    names = list(table.column_names)
    random.shuffle(names)
    return table.rename_columns(names)


def _repeated(random: Random, table: pa.Table) -> pa.Table:
    return pa.concat_tables([table] * random.choice([2, 3, 600]))


def _no_rows(_: Random, table: pa.Table) -> pa.Table:
    return table.slice(0, 0)


_CHANGES: tuple[Change, ...] = (
    _retyped, _retyped, _retyped, _invalid_utf8, _renamed, _dropped, _reordered, _exchanged, _repeated,
    _no_rows,
)  # fmt: skip
