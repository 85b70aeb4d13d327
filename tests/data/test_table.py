"""Tables of the user's own and of the hub: data=parquet, data=csv, data=hub."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.errors import UserError
from tests.data.tables import (
    COLUMNS,
    EXPECTED,
    WRITERS,
    Records,
    records,
    refused,
    rows_of,
    write_csv,
    write_jsonl,
    write_parquet,
)


@pytest.fixture(params=WRITERS)
def written(request: pytest.FixtureRequest) -> tuple[str, str, Callable[[Path, Records], None]]:
    return request.param, *WRITERS[request.param]


def test_one_file_a_language(tmp_path: Path, written: tuple[str, str, Any]) -> None:
    suffix, reader, write = written
    for language in EXPECTED:
        write(tmp_path / f"{language}.{suffix}", records(language))

    assert rows_of(make_reader(reader, str(tmp_path), None, columns=COLUMNS)) == EXPECTED


def test_a_column_with_the_language(tmp_path: Path, written: tuple[str, str, Any]) -> None:
    suffix, reader, write = written
    names = {"de": "deu", "en": "EN"}
    mixed = [{**record, "lang": names[code]} for code in EXPECTED for record in records(code)]
    write(tmp_path / f"all.{suffix}", mixed[::2] + mixed[1::2])

    columns = {**COLUMNS, "language": "lang"}
    found = rows_of(make_reader(reader, str(tmp_path / f"all.{suffix}"), None, columns=columns))
    assert {code: sorted(rows, key=lambda row: row.id) for code, rows in found.items()} == EXPECTED


def test_languages_side_by_side(tmp_path: Path, written: tuple[str, str, Any]) -> None:
    suffix, reader, write = written
    german = {row.id: row for row in EXPECTED["de"]}
    wide = [
        {
            "n": row.id,
            "question_en": row.question,
            "passage_en": row.passage,
            "question_de": german[row.id].question if row.id in german else "",
            "passage_de": german[row.id].passage if row.id in german else "",
        }
        for row in EXPECTED["en"]
    ]
    write(tmp_path / f"wide.{suffix}", wide)
    columns = {"id": "n", "question": "question_{language}", "passage": "passage_{language}"}

    assert rows_of(make_reader(reader, str(tmp_path), None, columns=columns)) == EXPECTED
    numbered = rows_of(make_reader(reader, str(tmp_path), None, columns={**columns, "id": None}))
    assert [row.id for row in numbered["de"]] == [f"wide.{suffix}:1", f"wide.{suffix}:3"]


@pytest.mark.parametrize(
    ("question", "passage"), [("{language}", "{language}_long"), ("q_{language}", "p_{language}")]
)
def test_wide_columns_among_others(tmp_path: Path, question: str, passage: str) -> None:
    texts = {
        name.replace("{language}", code): code for name in (question, passage) for code in ("en", "zh_cn")
    }
    write_csv(tmp_path / "wide.csv", [{"id": "1", "q_type": "what", "type": "what", **texts}])
    columns = {"id": "id", "question": question, "passage": passage}
    reader = make_reader("csv", str(tmp_path), None, columns=columns, language_codes={"zh_cn": "zh"})
    assert rows_of(reader) == {"en": [Row("1", "en", "en", "1")], "zh": [Row("1", "zh_cn", "zh_cn", "1")]}
    with pytest.raises(UserError, match=r"wide\.csv: has the column .*, but not 'nothing_en'"):
        rows_of(make_reader("csv", str(tmp_path), None, columns={**columns, "passage": "nothing_{language}"}))


def test_one_language_without_ids_shares_equal_passages(tmp_path: Path) -> None:
    write_csv(tmp_path / "faq.csv", [{"q": f"q{i}", "a": "same" if i < 2 else "other"} for i in range(3)])
    columns = {"id": None, "question": "q", "passage": "a"}
    rows = rows_of(make_reader("csv", str(tmp_path / "faq.csv"), None, columns=columns, language="en"))["en"]

    assert len({row.id for row in rows}) == 3
    assert rows[0].passage_id == rows[1].passage_id != rows[2].passage_id


def test_splits_negatives_titles_and_codes(tmp_path: Path) -> None:
    fields = {"t": "Shelves", "pid": "p", "neg": "", "part": ""}
    write_csv(
        tmp_path / "zh_cn.tsv",
        [
            {"id": "1", "question": "a", "passage": "A", **fields, "neg": "p2 p3", "part": "dev"},
            {"id": "2", "question": "b", "passage": "B", **fields, "t": "", "pid": "p2"},
        ],
        delimiter="\t",
    )
    columns = {
        "id": "id",
        "question": "question",
        "passage": "passage",
        "passage_title": "t",
        "passage_id": "pid",
        "negatives": "neg",
        "split": "part",
    }
    reader = make_reader("csv", str(tmp_path), None, columns=columns, language_codes={"zh_cn": "zh"})
    assert rows_of(reader) == {
        "zh": [
            Row("1", "a", "Shelves A", "p", ("p2", "p3"), "validation"),
            Row("2", "b", "B", "p2"),
        ]
    }


@settings(max_examples=60, deadline=None)
@given(
    texts=st.lists(
        st.tuples(
            *[st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)] * 2
        ),
        min_size=1,
        max_size=4,
    )
)
def test_csv_gives_back_what_was_written(tmp_path_factory: pytest.TempPathFactory, texts: Any) -> None:
    path = tmp_path_factory.mktemp("csv") / "en.csv"
    texts = [(question, passage) for question, passage in texts if question.strip() and passage.strip()]
    write_csv(path, [{"id": "x", "question": "x", "passage": "x"}])
    with path.open("a", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([str(i), *pair] for i, pair in enumerate(texts))
    columns = {"id": "id", "question": "question", "passage": "passage"}
    rows = rows_of(make_reader("csv", str(path), None, columns=columns, language="en"))["en"][1:]
    assert [(row.question, row.passage) for row in rows] == texts


def test_layout_of_the_hub(tmp_path: Path) -> None:
    """Folders a language, splits in the names of the files, as `push_to_hub` writes them."""
    for language in EXPECTED:
        record = records(language)
        write_parquet(tmp_path / language / "train-00000-of-00002.parquet", record[:1])
        write_parquet(tmp_path / language / "train-00001-of-00002.parquet", record[1:2])
        if record[2:]:
            write_parquet(tmp_path / language / "validation-00000-of-00001.parquet", record[2:])
    found = rows_of(make_reader("hub", str(tmp_path), None, columns=COLUMNS))

    assert [(row.id, row.split) for row in found["en"]] == [
        ("1", "train"),
        ("2", "train"),
        ("3", "validation"),
    ]
    assert [(row.id, row.split) for row in found["de"]] == [("1", "train"), ("3", "train")]
    only = make_reader(
        "hub", str(tmp_path), ["en"], columns=COLUMNS, files={"train": "{language}/train-*.parquet"}
    )
    assert {code: [(row.id, row.split) for row in rows] for code, rows in rows_of(only).items()} == {
        "en": [("1", None), ("2", None)]
    }


def test_structs_and_lists(tmp_path: Path) -> None:
    nested = [{"id": 7, "question": {"text": "Where?"}, "positives": [{"text": "Here"}, {"text": "There"}]}]
    columns = {"id": "id", "question": "question.text", "passage": "positives.0.text"}
    for suffix, write in (("parquet", write_parquet), ("jsonl", write_jsonl)):
        path = tmp_path / f"train.{suffix}"
        write(path, nested)
        reader = make_reader("hub", str(path), None, columns=columns, language="en")
        assert [(row.id, row.question, row.passage) for row in reader.rows("en")] == [("7", "Where?", "Here")]


def test_json_lists_and_files_of_other_systems(tmp_path: Path) -> None:
    (tmp_path / "de.json").write_text(json.dumps(records("de"), indent=1), "utf-8")
    (tmp_path / "en.json").write_text("\n".join(json.dumps(record) for record in records("en")), "utf-8")
    assert rows_of(make_reader("hub", str(tmp_path), None, columns=COLUMNS)) == EXPECTED
    lines = ["\ufeffqid,q,answer", '1,"a ""b""",c', "", ",,", "2,d,e"]
    (tmp_path / "fr.csv").write_text("\r\n".join(lines), "utf-8")
    reader = make_reader("csv", str(tmp_path / "fr.csv"), None, columns=COLUMNS, language="fr")
    assert [(row.id, row.question) for row in reader.rows("fr")] == [("1", 'a "b"'), ("2", "d")]
    (tmp_path / "en.json").write_text("[1]")
    refused(r"en\.json: item 1: expected an object", "hub", tmp_path)
    (tmp_path / "en.json").write_text("[{},\n{]")
    refused(r"en\.json:2: not JSON", "hub", tmp_path)


def test_rows_build_a_corpus(tmp_path: Path) -> None:
    for language in EXPECTED:
        write_parquet(tmp_path / "data" / f"{language}.parquet", records(language))
    build_corpus(make_reader("parquet", str(tmp_path / "data"), None, columns=COLUMNS), tmp_path / "corpus")
    corpus = ParallelCorpus.open(tmp_path / "corpus", "train")
    assert {code: {row.id for row in corpus.rows(code)} for code in corpus.languages} == {
        code: {row.id for row in rows} for code, rows in EXPECTED.items()
    }


def test_texts_of_negatives_in_one_language(tmp_path: Path) -> None:
    """As the triplets of the hub: one negative a row, which may be the positive of another."""
    triplets = [("q0", "A", "B"), ("q1", "B", "C"), ("q2", "A", "A")]
    names = ("anchor", "positive", "negative")
    write_parquet(
        tmp_path / "train.parquet", [dict(zip(names, triplet, strict=True)) for triplet in triplets]
    )
    columns = {"id": None, "question": "anchor", "passage": "positive", "negative_texts": "negative"}
    source = make_reader("hub", str(tmp_path), None, columns=columns, language="en")
    build_corpus(source, tmp_path / "corpus")
    train = ParallelCorpus.open(tmp_path / "corpus", "train")

    text_of = {row.passage_id: row.passage for row in train.rows("en")}
    text_of |= {n: "C" for row in train.rows("en") if row.question == "q1" for n in row.negatives}
    assert {(r.question, r.passage, *(text_of[n] for n in r.negatives)) for r in train.rows("en")} == {
        ("q0", "A", "B"),
        ("q1", "B", "C"),
        ("q2", "A"),
    }
    assert train.passage_count == 3
    negatives = train.negatives(np.arange(3), 1)
    assert {train.passage_text("en", int(n)) for n in negatives[negatives >= 0]} == {"B", "C"}


def test_texts_of_negatives_are_translations_of_each_other(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    for code in EXPECTED:
        rows = [
            {**record, "bad": [f"{code} bad {record['qid']} {i}" for i in range(2)]}
            for record in records(code)
        ]
        write_jsonl(folder / f"{code}.jsonl", rows)
    source = make_reader("hub", str(folder), None, columns={**COLUMNS, "negative_texts": "bad"})
    build_corpus(source, tmp_path / "corpus")
    train = ParallelCorpus.open(tmp_path / "corpus", "train")
    assert len(train) == 3
    row = next(row for row in train.rows("de") if row.id == "3")
    assert row.negatives == ("3#negative0", "3#negative1")
    third = train.row_ids(np.arange(3)).index("3")
    for code in EXPECTED:
        texts = [train.passage_text(code, int(n)) for n in train.negatives(np.array([third]), 2)[0]]
        assert texts == [f"{code} bad 3 0", f"{code} bad 3 1"]
    write_jsonl(folder / "en.jsonl", [{**records("en")[0], "bad": [7]}])
    broken = make_reader("hub", str(folder), None, columns={**COLUMNS, "negative_texts": "bad"})
    with pytest.raises(UserError, match=r"en\.jsonl:1: 'bad' must be a string, not a number"):
        build_corpus(broken, tmp_path / "corpus")


def test_fingerprint_depends_on_content_and_options(tmp_path: Path) -> None:
    write_csv(tmp_path / "en.csv", records("en"))
    first = make_reader("csv", str(tmp_path), None, columns=COLUMNS).fingerprint()
    assert make_reader("csv", str(tmp_path), None, columns=COLUMNS).fingerprint() == first
    other = {**COLUMNS, "passage_title": "q"}
    assert make_reader("csv", str(tmp_path), None, columns=other).fingerprint() != first
    write_csv(tmp_path / "en.csv", records("en")[:2])
    assert make_reader("csv", str(tmp_path), None, columns=COLUMNS).fingerprint() != first
