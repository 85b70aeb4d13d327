import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.squad import SquadReader
from hybrid_retrieval.errors import UserError

Paragraph = dict[str, object]


def paragraph(context: str, *questions: str, label: str | None = None, **more: object) -> Paragraph:
    qas = [{"id": q, "question": f"{q}?", "answers": [{"text": "x", "answer_start": -1}]} for q in questions]
    return {"context": context, "qas": qas, **({"paragraph_id": label} if label else {}), **more}


def squad(*paragraphs: Paragraph, title: str = "t") -> str:
    return json.dumps(
        {"version": "1.1", "data": [{"title": title, "paragraphs": list(paragraphs)}]}, indent=1
    )


def read(folder: Path) -> dict[str, list[Row]]:
    reader = SquadReader(folder)
    return {language: list(reader.rows(language)) for language in reader.languages()}


def passage_ids(folder: Path) -> dict[str, dict[str, str]]:
    return {code: {one.id: one.passage_id for one in rows} for code, rows in read(folder).items()}


def test_reads_questions_with_their_paragraph(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text(squad(paragraph("One.", "a", "b", label="t#0"), paragraph("Two.", "c")))
    (tmp_path / "de.json.gz").write_bytes(gzip.compress(squad(paragraph("Eins.", "b", label="t#0")).encode()))
    assert read(tmp_path) == {
        "de": [Row("b", "b?", "Eins.", "t#0")],
        "en": [
            Row("a", "a?", "One.", "t#0"),
            Row("b", "b?", "One.", "t#0"),
            Row("c", "c?", "Two.", "question:c"),
        ],
    }


def test_different_subsets_of_questions_are_one_paragraph(tmp_path: Path) -> None:
    # de and fr have no question in common; en links them.
    (tmp_path / "de.json").write_text(squad(paragraph("Eins.", "c"), title="Titel"))
    (tmp_path / "en.json").write_text(squad(paragraph("Two.", "z"), paragraph("One.", "b", "c")))
    (tmp_path / "fr.json").write_text(squad(paragraph("Un.", "b", "a")))
    assert passage_ids(tmp_path) == {
        "de": {"c": "question:a"},
        "en": {"z": "question:z", "b": "question:a", "c": "question:a"},
        "fr": {"b": "question:a", "a": "question:a"},
    }


def test_a_paragraph_id_in_one_language_names_the_passage_in_all(tmp_path: Path) -> None:
    (tmp_path / "en.json").write_text(squad(paragraph("One.", "a", label="t#0")))
    (tmp_path / "tr.json").write_text(squad(paragraph("Bir.", "a", "b")))
    assert passage_ids(tmp_path) == {"en": {"a": "t#0"}, "tr": {"a": "t#0", "b": "t#0"}}


def test_unanswerable_questions_are_dropped(tmp_path: Path) -> None:
    unanswerable = {
        "id": "b",
        "question": "b?",
        "is_impossible": True,
        "plausible_answers": [],
        "answers": [],
    }
    one = paragraph("One.", "a")
    one["qas"] = [{"id": "a", "question": "a?", "is_impossible": False}, unanswerable]
    (tmp_path / "en.json").write_text(squad(one))
    assert read(tmp_path) == {"en": [Row("a", "a?", "One.", "question:a")]}


@settings(max_examples=40, deadline=None)
@given(
    data=st.data(),
    sizes=st.lists(st.integers(1, 4), min_size=1, max_size=5),
)
def test_recovers_the_paragraphs_from_question_ids(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, sizes: list[int]
) -> None:
    folder = tmp_path_factory.mktemp("squad")
    paragraphs = [[f"q{p}-{i}" for i in range(size)] for p, size in enumerate(sizes)]
    (folder / "en.json").write_text(squad(*(paragraph(f"en {p}", *ids) for p, ids in enumerate(paragraphs))))
    kept = [data.draw(st.lists(st.sampled_from(ids), unique=True)) for ids in paragraphs]
    shuffled = data.draw(st.permutations([(p, ids) for p, ids in enumerate(kept) if ids]))
    (folder / "de.json").write_text(squad(*(paragraph(f"de {p}", *ids) for p, ids in shuffled)))
    found = passage_ids(folder)
    for p, ids in enumerate(paragraphs):
        assert {found["en"][one] for one in ids} == {f"question:q{p}-0"}
        assert {found["de"][one] for one in kept[p]} <= {f"question:q{p}-0"}


GOOD = squad(paragraph("One.", "a"))
BAD = {
    "cut": (GOOD[:60], r"en\.json:\d+: not JSON"),
    "a list": ("[]", r"en\.json:1: expected an object"),
    "no data": ("{}", r"en\.json: the top level: the field 'data' is missing"),
    "data no list": ('{"data": {}}', r"'data' must be a list, not an object"),
    "article no object": ('{"data": [1]}', r"en\.json: data\[0\]: expected an object"),
    "no context": (
        '{"data": [{"paragraphs": [{"qas": []}]}]}',
        r"en\.json: data\[0\]\.paragraphs\[0\]: the field 'context' is missing",
    ),
    "empty context": (squad(paragraph(" ", "a")), r"paragraphs\[0\]: 'context' is empty"),
    "no question": (
        squad(paragraph("One.", "a"), {"context": "Two.", "qas": [{"id": "b"}]}),
        r"data\[0\]\.paragraphs\[1\]\.qas\[0\]: the field 'question' is missing",
    ),
    "impossible": (
        squad({"context": "Two.", "qas": [{"id": "b", "question": "?", "is_impossible": "no"}]}),
        r"qas\[0\]: 'is_impossible' must be true or false, not 'no'",
    ),
    "no question at all": (squad(), r"has no rows in en"),
    "id twice": (
        squad(paragraph("One.", "a", "a")),
        r"en\.json: data\[0\]\.paragraphs\[0\]\.qas\[0\], .*qas\[1\]: the id 'a' occurs twice",
    ),
    "two labels": (
        squad(paragraph("One.", "a", label="x"), paragraph("Two.", "a", label="y")),
        r"paragraphs\[1\]: the paragraph_id 'y' and 'x' .* are linked",
    ),
}


@pytest.mark.parametrize(("content", "message"), BAD.values(), ids=BAD.keys())
def test_malformed_files_are_named_with_the_place(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "en.json").write_text(content)
    with pytest.raises(UserError, match=message) as stopped:
        build_corpus(SquadReader(tmp_path), tmp_path / "out" / "c")
    assert tmp_path.name in str(stopped.value)
    assert list((tmp_path / "out").iterdir()) == []


def test_a_wrong_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    content = GOOD.replace("One.", "Größe").encode("latin-1")
    (tmp_path / "en.json").write_bytes(content)
    number = content[: content.index(b"\xf6")].count(b"\n") + 1
    with pytest.raises(UserError, match=rf"en\.json:{number}: not UTF-8: byte 0xf6 at offset"):
        read(tmp_path)


def test_counts_of_the_translated_dev_set(tmp_path: Path, shared_data: Path) -> None:
    build_corpus(SquadReader(shared_data / "squad-dev-translated", ["en", "fr", "sv"]), tmp_path / "c")
    corpus = ParallelCorpus.open(tmp_path / "c", "train")
    assert corpus.counts["rows"] == {"en": 9358, "fr": 294, "sv": 4392}
    assert (len(corpus), corpus.passage_count) == (9358, 1822)
    runs = corpus.availability
    assert [
        sum(corpus.passage_text(language, p) is not None for p in range(corpus.passage_count))
        for language in corpus.languages
    ] == [1822, 43, 1007]
    assert (
        dict(zip(corpus.languages, (runs.counts()[:, None] * runs.both()).sum(0), strict=True))
        == (corpus.counts["rows"])
    )
