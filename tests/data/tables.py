"""Tables in several formats with the same rows, for tests of their readers."""

import csv
import gzip
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_retrieval.data.readers.base import Reader, Row
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.errors import UserError

Records = Sequence[Mapping[str, Any]]
COLUMNS = {"id": "qid", "question": "q", "passage": "answer"}


def write_csv(path: Path, records: Records, delimiter: str = ",") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (gzip.open if path.suffix == ".gz" else open)(path, "wt", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(records[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(records)


def write_parquet(path: Path, records: Records) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(list(records)), path, row_group_size=2)


def write_jsonl(path: Path, records: Records) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(record, ensure_ascii=False) + "\n" for record in records), "utf-8")


WRITERS: dict[str, tuple[str, Callable[[Path, Records], None]]] = {
    "csv": ("csv", write_csv),
    "csv.gz": ("csv", write_csv),
    "parquet": ("parquet", write_parquet),
    "jsonl": ("hub", write_jsonl),
}


def rows_of(reader: Reader) -> dict[str, list[Row]]:
    return {language: list(reader.rows(language)) for language in reader.languages()}


EXPECTED = {
    "de": [Row("1", "Wo?", "Hier,\nda.", "1"), Row("3", "Wann?", "Nie", "3")],
    "en": [Row("1", "Where?", "Here", "1"), Row("2", "Who?", "She", "2"), Row("3", "When?", "Never", "3")],
}


def records(language: str) -> list[dict[str, str]]:
    return [{"qid": row.id, "q": row.question, "answer": row.passage} for row in EXPECTED[language]]


def refused(match: str, name: str, path: Path, **options: Any) -> None:
    with pytest.raises(UserError, match=match) as stopped:
        rows_of(make_reader(name, str(path), None, **{"columns": COLUMNS, **options}))
    assert "\n" not in str(stopped.value)
