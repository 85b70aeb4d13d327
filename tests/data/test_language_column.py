"""Tables with a column for the language are read once, however many languages they have."""

import csv
import gzip
import os
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers import records, row_spool, table
from hybrid_retrieval.data.readers.base import Reader, Row
from hybrid_retrieval.data.readers.distinct_values import distinct_values
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.errors import UserError

COLUMNS = {"id": "id", "question": "q", "passage": "p", "language": "lang"}
LANGUAGES = ("de", "en", "th", "zh")
ROWS = [
    {"id": str(n), "lang": code, "q": f"{code} “{n}”\nsecond line?", "p": f"{code}, passage {n}", "x": "1"}
    for n in range(40)
    for code in LANGUAGES
    if (n + len(code) + ord(code[0])) % 5
]


def write(folder: Path, form: str) -> Path:
    folder.mkdir(exist_ok=True)
    if form == "parquet":
        for half, rows in enumerate((ROWS[:50], ROWS[50:])):
            pq.write_table(pa.Table.from_pylist(rows), folder / f"{half}.parquet", row_group_size=16)
        return folder
    for half, rows in enumerate((ROWS[:50], ROWS[50:])):
        with (folder / f"{half}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(ROWS[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder


def read(form: str, folder: Path, languages: list[str] | None = None, **columns: str) -> Reader:
    return make_reader(form, str(folder), languages, columns={**COLUMNS, **columns})


@pytest.fixture
def passes(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose rows are read, once for every time."""
    seen: list[Path] = []
    real = records.read_records

    def counted(path: Path, *rest: Any, **named: Any) -> Iterator[Any]:
        seen.append(path)
        return real(path, *rest, **named)

    monkeypatch.setattr(table, "read_records", counted)
    return seen


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_each_file_is_read_once_for_all_languages(form: str, passes: list[Path], tmp_path: Path) -> None:
    reader = read(form, write(tmp_path / "data", form))
    assert reader.languages() == list(LANGUAGES)
    assert passes == []
    for language in reversed(LANGUAGES):
        expected = [Row(row["id"], row["q"], row["p"], row["id"]) for row in ROWS if row["lang"] == language]
        assert list(reader.rows(language)) == expected
    assert sorted(path.name for path in passes) == [f"0.{form}", f"1.{form}"]


def test_one_language_is_read_without_a_spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(table, "RowSpool", None)
    reader = read("csv", write(tmp_path / "data", "csv"), ["th"])
    assert [row.id for row in reader.rows("th")] == [row["id"] for row in ROWS if row["lang"] == "th"]


def test_languages_may_be_read_side_by_side(tmp_path: Path) -> None:
    reader = read("csv", write(tmp_path / "data", "csv"))
    alone = {language: list(reader.rows(language)) for language in LANGUAGES}
    together = {language: [] for language in LANGUAGES}  # type: dict[str, list[Row]]
    running = {language: reader.rows(language) for language in LANGUAGES}
    while running:
        for language in list(running):
            if (found := next(running[language], None)) is None:
                del running[language]
            else:
                together[language].append(found)
    assert together == alone
    assert list(pickle.loads(pickle.dumps(reader)).rows("de")) == alone["de"]


def test_places_are_those_of_the_file(tmp_path: Path) -> None:
    folder = write(tmp_path / "data", "parquet")
    first = next(number for number, row in enumerate(ROWS[:50]) if row["lang"] == "th")
    reader: Any = read("parquet", folder)
    where = reader.where("th", ROWS[first]["id"])
    assert where == f"{folder / '0.parquet'}: row {first + 1} (row group {first // 16})"


def test_a_bad_row_is_named_by_whatever_language_is_read(tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text("id,lang,q,p\n1,de,a,b\n2,en,,b\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"all\.csv:3: .*'q'"):
        list(read("csv", tmp_path / "all.csv").rows("de"))


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("id,lang,q,p\n1,de,a,b\n2,,a,b\n", r"all\.csv:3: 'lang' must hold the code of a language, not ''"),
        ("id,lang,q,p\n1,de,a,b\n2,nonsense,a,b\n", r"all\.csv:3: 'nonsense'"),
        ("id,lang,q,p\n1,de,a,b\n2,en,a\n", r"all\.csv:3: 3 fields, but there are 4 columns"),
        ("id,q,p\n1,a,b\n", r"all\.csv: no column 'lang'"),
    ],
)
def test_a_bad_language_is_named_with_its_line(text: str, match: str, tmp_path: Path) -> None:
    (tmp_path / "all.csv").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=match):
        read("csv", tmp_path / "all.csv").languages()


@pytest.mark.parametrize("ending", ["csv", "csv.gz", "tsv"])
def test_distinct_values_are_those_of_the_rows(ending: str, tmp_path: Path) -> None:
    separator = "\t" if ending == "tsv" else ","
    lines = [["lang", "q"], *(["no", '"x'] if ending == "tsv" else ["no", "x"], ["true", "y"], ["no", "z"])]
    text = "\ufeff" + "".join(separator.join(line) + "\r\n" for line in lines)
    path = tmp_path / f"all.{ending}"
    path.write_bytes(gzip.compress(text.encode()) if ending.endswith("gz") else text.encode())
    assert distinct_values(path, "lang") == ["no", "true"]
    assert distinct_values(path, "missing") is None


def test_the_languages_of_a_large_file_are_looked_for_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(table, "WORTH_REMEMBERING", 0)
    path = tmp_path / "all.csv"
    path.write_text("id,lang,q,p\n1,de,a,b\n2,en,a,b\n", encoding="utf-8")
    os.utime(path, (1e9, 1e9))
    assert read("csv", path).languages() == ["de", "en"]
    with monkeypatch.context() as patch:
        patch.setattr(table, "distinct_values", None)
        assert read("csv", path).languages() == ["de", "en"]
    path.write_text("id,lang,q,p\n1,de,a,b\n2,fr,a,b\n", encoding="utf-8")
    assert read("csv", path).languages() == ["de", "fr"]


@pytest.mark.parametrize("negatives", [False, True])
def test_a_corpus_of_it_is_that_of_a_file_a_language(tmp_path: Path, negatives: bool) -> None:
    rows = [{**row, "n": f"{row['lang']} wrong {row['id']}"} for row in ROWS]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "all.parquet")
    (tmp_path / "apart").mkdir()
    for code in LANGUAGES:
        own = [row for row in rows if row["lang"] == code]
        pq.write_table(pa.Table.from_pylist(own), tmp_path / "apart" / f"{code}.parquet")
    extra: dict[str, Any] = {"negative_texts": "n"} if negatives else {}
    together = read("parquet", tmp_path / "all.parquet", **extra)
    apart = make_reader(
        "parquet", str(tmp_path / "apart"), None, columns={**COLUMNS, "language": None, **extra}
    )
    found = []
    for name, source in (("one", together), ("other", apart)):
        build_corpus(source, tmp_path / name)
        corpus = ParallelCorpus.open(tmp_path / name, "train")
        found.append([sorted(map(repr, corpus.rows(code))) for code in LANGUAGES])
    assert found[0] == found[1]
    assert ("negatives=('" in found[0][0][0]) == negatives


def test_no_room_for_the_spool_is_one_message(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> bytes:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(row_spool, "_line", full)
    with pytest.raises(UserError, match=r"No space left on device.*in the variable TMPDIR\.$"):
        list(read("csv", write(tmp_path / "data", "csv")).rows("de"))
