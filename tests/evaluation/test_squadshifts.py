import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.squadshifts import squadshifts
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings


@pytest.fixture(scope="module")
def squadshifts_folder(shared_data: Path) -> Path:
    folder = shared_data / "squadshifts"
    if not folder.is_dir():
        pytest.skip(f"needs SQuADShifts in {folder}")
    return folder


def relevant_text(benchmark: Benchmark) -> list[str]:
    """The relevant passage of each query."""
    assert (np.diff(benchmark.relevant_offsets) == 1).all()
    return [benchmark.candidate_texts[position] for position in benchmark.relevant]


@pytest.mark.parametrize(
    ("subset", "questions", "paragraphs", "distinct"),
    [
        ("new_wiki", 7938, 1581, 1581),
        ("amazon_reviews", 9885, 2050, 2050),
        ("reddit", 9803, 2035, 2033),
    ],
)
def test_counts(
    squadshifts_folder: Path, subset: str, questions: int, paragraphs: int, distinct: int
) -> None:
    benchmark = squadshifts(squadshifts_folder, subset=subset)
    assert benchmark.name == f"squadshifts_{subset}"
    assert benchmark.counts() == {
        "queries": {"en": questions}, "candidates": {"en": distinct}, "pool": distinct
    }  # fmt: skip
    with gzip.open(squadshifts_folder / f"{subset}_v1.0.json.gz", "rt", encoding="utf-8") as file:
        content = json.load(file)
    of_file = [paragraph for article in content["data"] for paragraph in article["paragraphs"]]
    assert len(of_file) == paragraphs
    context_of = {question["id"]: of["context"] for of in of_file for question in of["qas"]}
    assert dict(zip(benchmark.query_ids, relevant_text(benchmark), strict=True)) == context_of
    for identifier, text in zip(benchmark.candidate_ids, benchmark.candidate_texts, strict=True):
        assert of_file[int(identifier)]["context"] == text


def content() -> dict[str, Any]:
    """Three paragraphs, of which the third repeats the first."""

    def question(name: str) -> dict[str, Any]:
        return {"id": name, "question": f"{name}?", "answers": [{"text": "P", "answer_start": 0}]}

    paragraphs = [
        {"context": "Passage one.", "qas": [question("a"), question("b")]},
        {"context": "Passage two.", "qas": [question("c")]},
        {"context": "Passage one.", "qas": [question("d")]},
    ]
    return {"data": [{"paragraphs": paragraphs[:2]}, {"paragraphs": paragraphs[2:]}]}


def write(folder: Path, of: dict[str, Any], subset: str = "new_wiki") -> Path:
    (folder / f"{subset}_v1.0.json").write_text(json.dumps(of), encoding="utf-8")
    return folder


def test_a_repeated_paragraph_is_one_candidate(tmp_path: Path) -> None:
    benchmark = squadshifts(write(tmp_path, content(), "nyt"), subset="nyt")
    assert benchmark.query_ids == ["a", "b", "c", "d"]
    assert benchmark.candidate_ids == ["0", "1"]
    assert relevant_text(benchmark) == ["Passage one.", "Passage one.", "Passage two.", "Passage one."]


def test_one_language_has_no_pairs(tmp_path: Path) -> None:
    """One language: the other settings are undefined (cross-lingual) or the same (the pool)."""
    benchmark = squadshifts(write(tmp_path, content()))
    queries = np.eye(2, dtype=np.float32)[[0, 1, 1, 0]]
    metrics = evaluate_embeddings(queries, np.eye(2, dtype=np.float32), benchmark).metrics
    assert metrics["benchmark"] == "squadshifts_new_wiki"
    assert metrics["monolingual"]["recall@1"] == 0.75  # b is nearer to the other passage
    assert metrics["monolingual"]["mrr@10"] == pytest.approx(3.5 / 4)
    assert metrics["per_pair"] == {"en": {}}


def qas(of: dict[str, Any]) -> Any:
    return of["data"][0]["paragraphs"][0]["qas"]


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda d: d.pop("data"), r"the field 'data' is missing"),
        (lambda d: qas(d)[1].update(id="a"), r"paragraphs\[0\]\.qas\[1\]: question id 'a' is also in data"),
        (lambda d: qas(d)[1].update(answers=[]), r"1 of 4 questions have no answer.*'b'"),
        (lambda d: qas(d)[1].update(is_impossible=True), r"1 of 4 questions have no answer.*'b'"),
        (lambda d: qas(d)[1].update(question=" "), r"qas\[1\]: 'question' is empty"),
        (lambda d: d["data"][1]["paragraphs"][0].update(context=""), r"data\[1\].*'context' is empty"),
        (lambda d: d.update(data=[]), "holds no question"),
    ],
)
def test_malformed_files_name_the_place(tmp_path: Path, damage: Callable[[Any], Any], message: str) -> None:
    of = content()
    damage(of)
    with pytest.raises(UserError, match=rf"new_wiki_v1\.0\.json: .*{message}"):
        squadshifts(write(tmp_path, of))


def test_files_that_are_missing_or_cut_off(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"benchmark\.subset=books.*new_wiki, nyt, reddit, amazon_reviews"):
        squadshifts(tmp_path, subset="books")
    with pytest.raises(UserError, match=r"nyt_v1\.0\.json: no such file.*squadshifts-website"):
        squadshifts(tmp_path, subset="nyt")
    write(tmp_path, content())
    with pytest.raises(UserError, match=r"nyt_v1\.0\.json: no such file.*The folder has: new_wiki;"):
        squadshifts(tmp_path, subset="nyt")
    whole = json.dumps(content(), indent=1)
    (tmp_path / "new_wiki_v1.0.json").write_text(whole[:300], encoding="utf-8")
    line = whole[:300].count("\n") + 1
    with pytest.raises(UserError, match=rf"new_wiki_v1\.0\.json:{line}: not JSON"):
        squadshifts(tmp_path)
    with gzip.open(tmp_path / "new_wiki_v1.0.json.gz", "wt", encoding="utf-8") as file:
        file.write(whole)
    with pytest.raises(UserError, match=r"holds both new_wiki_v1\.0\.json and new_wiki_v1\.0\.json\.gz"):
        squadshifts(tmp_path)
    (tmp_path / "new_wiki_v1.0.json").unlink()
    assert len(squadshifts(tmp_path).query_ids) == 4
