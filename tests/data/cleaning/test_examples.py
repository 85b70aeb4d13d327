"""What was removed and why is shown, for each switch, with texts that a person can check."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.cleaning.report import removals
from hybrid_retrieval.data.cleaning.rows import EXAMPLES
from hybrid_retrieval.data.cleaning.settings import SHOWN_CHARACTERS, Cleaning, CleaningSettings
from hybrid_retrieval.data.readers.base import Row
from tests.data.cleaning.cleaned_corpora import ALL, PASSAGES, ROWS, WORDS, Leaks, switches
from tests.data.cleaning.test_decontaminate import decontamination, write_beir
from tests.data.memory_reader import MemoryReader, RowsByLanguage

Found = dict[str, list[dict[str, Any]]]


def examples(rows: RowsByLanguage, folder: Path, cleaning: Cleaning) -> Found:
    build_corpus(MemoryReader(rows), folder, cleaning=cleaning)
    found: Found = report_of(folder)["examples"]
    return found


def report_of(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "corpus.json").read_text(encoding="utf-8"))["cleaning"]
    return content


def against(entry: str) -> Cleaning:
    return Cleaning(CleaningSettings(decontaminate=(entry,)), decontamination(entry))


def test_a_collision_names_the_question_of_the_benchmark_and_the_shared_words(tmp_path: Path) -> None:
    questions = [("en", "Where did the river leave its old bed when the dam had been built?"), ("en", "Who?")]
    entry = write_beir(tmp_path / "b", questions)
    rows = {
        code: [Row(f"r{n}", f"{code} question {n}", f"{code} passage {n}", f"p{n}") for n in range(3)]
        for code in ("de", "en")
    }
    rows["en"][1] = replace(rows["en"][1], question=questions[0][1].upper())
    rows["de"][2] = replace(rows["de"][2], passage=f"Er sagte: {questions[0][1]} Das war alles.")
    [of_german, of_english] = examples(rows, tmp_path / "c", against(entry))["decontaminate"]
    assert of_english == {
        "language": "en",
        "query_id": "r1",
        "passage_id": "p1",
        "question": questions[0][1].upper(),
        "passage": "en passage 1",
        "found": "question",
        "benchmark": entry,
        "benchmark_id": "queries0",
        "benchmark_text": questions[0][1],
        "gram": "where did the river leave its old bed",
        "shared": 7,
    }
    assert (of_german["query_id"], of_german["found"], of_german["shared"]) == ("r2", "passage", 7)
    text = "\n".join(removals(report_of(tmp_path / "c"), 100))
    assert "data.clean.decontaminate removed 4 of 6 rows (2 de, 2 en)." in text
    assert (
        f"en r1: question shares 7 n-grams, such as '{of_english['gram']}', with queries0 of {entry}" in text
    )
    assert f"  {questions[0][1]}" in text


def test_a_contaminated_question_without_a_passage_is_an_example_too(tmp_path: Path) -> None:
    """Its translations have passages, and go with it."""
    entry = write_beir(tmp_path / "b", [("en", "Who built the bridge?")])
    rows = {
        code: [Row("r0", code, f"{code} 0", "p0"), Row("r1", code, f"{code} 1", "p1")]
        for code in ("de", "en")
    }
    rows["en"][1] = Row("r1", "Who built the bridge?", "another", "p2")
    [one] = examples(rows, tmp_path / "c", against(entry))["decontaminate"]
    assert (one["language"], one["query_id"], one["benchmark_text"]) == ("en", "r1", "Who built the bridge?")


def test_duplicates_show_both_texts(tmp_path: Path) -> None:
    rows = {
        "en": [
            Row("r0", "When?", PASSAGES[0], "p0"),
            Row("r1", "Why?", "short", "p1"),
            Row("r2", "WHEN?", PASSAGES[0].upper(), "p2"),
            Row("r3", "How?", f"{PASSAGES[0]} then", "p3", split="train"),
        ]
    }
    found = examples(rows, tmp_path / "c", switches(exact_duplicates=True, near_duplicates=0.9))
    [exact], [near] = found["exact_duplicates"], found["near_duplicates"]
    assert exact["query_id"] == "r2"
    assert exact["of"] == {
        "query_id": "r0",
        "passage_id": "p0",
        "question": "When?",
        "passage": PASSAGES[0],
    }
    assert (near["query_id"], near["of"]) == ("r3", {"passage_id": "p0", "passage": PASSAGES[0]})
    shingles = len(WORDS) - 4  # 5 words each, of which the longer passage has one more
    assert near["similarity"] == pytest.approx(shingles / (shingles + 1), abs=1e-4)
    lines = "\n".join(removals(report_of(tmp_path / "c"), 60))
    assert f"en r3: passage p3 is like p0, similarity {near['similarity']:.2f}" in lines
    assert "en r2: repeats r0 with passage p0" in lines
    end = PASSAGES[0][-30:]
    assert lines.rstrip().endswith(f"…{end} then\n  …{end}")


def test_lengths_and_copies(tmp_path: Path) -> None:
    rows = {
        code: [
            Row("r0", f"{code} ask", "The same everywhere", "p0"),
            Row("r1", f"{code} 1?", f"{code} 1", "p1"),
        ]
        for code in ("de", "en", "nl")
    }
    rows["en"].append(Row("r2", "?", f"{PASSAGES[0]} " * 30, "p2"))
    chosen = switches(same_text=True, min_question_chars=2, max_passage_chars=1000)
    found = examples(rows, tmp_path / "c", chosen)
    [short] = found["min_question_chars"]
    assert (short["query_id"], short["characters"]) == ("r2", 1)
    assert len(short["passage"]) == SHOWN_CHARACTERS
    assert short["passage"].endswith("…")
    assert found["max_passage_chars"] == []  # gone before
    assert [(one["language"], one["equal_in"], one["kept_in"]) for one in found["same_text"]] == [
        ("de", ["en", "nl"], ["en"]),
        ("nl", ["de", "en"], ["en"]),
    ]


def test_few_examples_of_all_languages_and_of_different_texts(tmp_path: Path) -> None:
    found = examples(ROWS, tmp_path / "c", switches(**ALL))["near_duplicates"]
    assert [one["language"] for one in found] == ["de", "en", "zh"]
    rows = {"en": [Row(f"r{n}", f"Question {n}", f"No {n // 20}", f"p{n // 20}") for n in range(100)]}
    rows["en"].append(Row("stays", "Question", "No", "stays"))
    some = examples(rows, tmp_path / "d", switches(max_passage_chars=3, max_question_chars=11))
    assert [one["passage_id"] for one in some["max_passage_chars"]] == ["p0", "p1", "p2"]
    assert len(some["max_passage_chars"]) == EXAMPLES


def test_a_contaminated_text_is_explained_only_where_it_is_contaminated(tmp_path: Path) -> None:
    rows = {
        code: [Row(f"r{n}", f"{code} {n}", f"{code} text {n}", f"p{n}") for n in range(9)]
        for code in ("de", "en")
    }
    rows["en"][4] = replace(rows["en"][4], question="this leaked")
    cleaning = Cleaning(CleaningSettings(decontaminate=("some",)), Leaks())  # type: ignore[arg-type]
    [one] = examples(rows, tmp_path / "c", cleaning)["decontaminate"]
    assert (one["language"], one["query_id"], one["benchmark_id"]) == ("en", "r4", "en:7")
