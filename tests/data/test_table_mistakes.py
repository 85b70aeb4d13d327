"""Mistakes in tables and in how they are read: file, row and setting are named."""

from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.errors import UserError
from tests.data.tables import COLUMNS, records, refused, write_csv, write_parquet

CSV = "qid,q,answer\n1,a,b\n"
BAD_CSV = {
    "empty": ("qid,q,answer\n1,a,b\n2,,c\n", r"en\.csv:3: 'q' is empty"),
    "few fields": (CSV + "2,b\n", r"en\.csv:3: 2 fields, but there are 3 columns \(qid, q, answer\)"),
    "open quote": (CSV + '2,"b,c\n3,d,e\n', r"en\.csv:3: the row that starts here is not well quoted"),
    "after a long row": (CSV + '2,"b\n\nb",c\n,a,b\n', r"en\.csv:6: an id in 'qid' is empty"),
    "no column": ("id,q,answer\n1,a,b\n", r"en\.csv: no column 'qid'; it has 'id', 'q', 'answer'"),
    "twice": ("q,q,answer\n1,a,b\n", r"en\.csv:1: the header names the column 'q' twice"),
}


@pytest.mark.parametrize(("content", "match"), BAD_CSV.values(), ids=BAD_CSV.keys())
def test_a_bad_row_of_csv_is_named(tmp_path: Path, content: str, match: str) -> None:
    (tmp_path / "en.csv").write_text(content)
    refused(match, "csv", tmp_path)


def test_a_bad_row_of_parquet_is_named(tmp_path: Path) -> None:
    bad: list[dict[str, Any]] = [*records("en"), {"qid": "4", "q": None, "answer": "x"}]
    write_parquet(tmp_path / "en.parquet", bad)
    refused(r"en\.parquet: row 4 \(row group 1\): 'q' must be a string, not null", "parquet", tmp_path)
    write_parquet(tmp_path / "en.parquet", [{"qid": 1.5, "q": "a", "answer": "b"}])
    refused(r"row 1 .*an id in 'qid' must be a string or an integer, not a number", "parquet", tmp_path)
    refused(r"no column 'nope'; it has 'qid'", "parquet", tmp_path, columns={**COLUMNS, "split": "nope"})
    whole = (tmp_path / "en.parquet").read_bytes()
    (tmp_path / "en.parquet").write_bytes(whole[:-20])
    refused(r"en\.parquet: not a whole Parquet file", "parquet", tmp_path)


def test_contradictions_name_both_places(tmp_path: Path) -> None:
    write_parquet(tmp_path / "en.parquet", [*records("en"), records("en")[0]])
    reader = make_reader("parquet", str(tmp_path), None, columns=COLUMNS)
    with pytest.raises(UserError, match=r"en\.parquet: row 1 .*, .*row 4 .*: the id '1' occurs twice in en"):
        build_corpus(reader, tmp_path / "corpus")


def test_a_pointer_is_not_the_file(tmp_path: Path) -> None:
    (tmp_path / "en.parquet").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
    refused(r"en\.parquet: a pointer of Git LFS.*git lfs pull", "parquet", tmp_path)


def test_tsv_with_quotes_is_asked_for(tmp_path: Path) -> None:
    write_csv(tmp_path / "en.tsv", [{"qid": "1", "q": "a\tb", "answer": "c"}], delimiter="\t")
    refused(r"en\.tsv:2: 4 fields, .*data\.options\.quotes=true", "csv", tmp_path)
    reader = make_reader("csv", str(tmp_path), None, columns=COLUMNS, quotes=True)
    assert [row.question for row in reader.rows("en")] == ["a\tb"]


MISTAKES: dict[str, tuple[dict[str, Any], str]] = {
    "no language": ({"columns": COLUMNS}, r"table\.csv: its name does not say its language"),
    "unknown field": (
        {"columns": {"text": "q"}},
        r"data\.options\.columns\.text is unknown; known: question",
    ),
    "half wide": (
        {"columns": {**COLUMNS, "question": "q_{language}"}},
        r"columns\.passage lacks \{language\}",
    ),
    "no wide column": (
        {"columns": {**COLUMNS, "question": "q_{language}", "passage": "p_{language}"}},
        r"no language found: 'q_\{language\}' is the name of no column",
    ),
    "two ways": (
        {"columns": {**COLUMNS, "language": "q"}, "language": "en"},
        r"both say what the language is",
    ),
    "no code": (
        {"columns": {**COLUMNS, "language": "q"}},
        r"table\.csv:2: 'a' is not the code of a language",
    ),
    "no id": ({"columns": {**COLUMNS, "language": "q", "id": None}}, r"the languages are joined on it"),
    "pattern": (
        {"files": "{language}/*.csv"},
        r"no file matches data\.options\.files.*Its files: table\.csv",
    ),
    "split": ({"files": {"dev2": "*.csv"}}, r"'dev2' is not a split"),
    "quotes": ({"quotes": "yes", "language": "en"}, r"quotes must be true, false or null"),
    "code": (
        {"columns": {**COLUMNS, "language": "q"}, "language_codes": {"a": "English"}},
        r"language_codes: 'English' is not a language code",
    ),
}


@pytest.mark.parametrize(("options", "match"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_in_the_options_are_named(tmp_path: Path, options: dict[str, Any], match: str) -> None:
    (tmp_path / "table.csv").write_text(CSV)
    refused(match, "csv", tmp_path, **options)


def test_wanted_languages(tmp_path: Path) -> None:
    write_csv(tmp_path / "en.csv", records("en"))
    with pytest.raises(UserError, match=r"has no data in fr: it has en\."):
        make_reader("csv", str(tmp_path), ["fr"], columns=COLUMNS).languages()


def test_a_path_that_is_not_there(tmp_path: Path) -> None:
    refused("does not exist. Name a folder of CSV or TSV files", "csv", tmp_path / "none")
    refused("does not exist. Name a folder with .*, or a data set of the hub", "hub", tmp_path / "none")
    with pytest.raises(UserError, match=r"data=parquet needs data\.path"):
        make_reader("parquet", None, None, columns=COLUMNS)
