import json
import math
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.mlqa_r import mlqa_r
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings

from .test_xquad_r import relevant_ids

# LAReQA, arXiv 2004.05484, table 1.
QUERIES = {"ar": 517, "de": 512, "en": 1148, "es": 500, "hi": 507, "vi": 511, "zh": 504}
CANDIDATES = {"ar": 2545, "de": 2362, "en": 6264, "es": 1787, "hi": 2426, "vi": 2828, "zh": 2322}

HAS = {"en": ["q1", "q2", "q3", "q4"], "de": ["q4", "q2", "q1"], "es": ["q1", "q3"]}
"""As in MLQA: every question is in English, none in every language, files in different orders."""


def write(folder: Path, code: str, questions: list[str]) -> None:
    """One paragraph a question: its answer is the second of two sentences."""
    articles = []
    for question in questions:
        first, second = f"Before {question}.", f"The {code} answer to {question}."
        articles.append(
            {
                "title": question,
                "paragraphs": [
                    {
                        "context": f"{first} {second}",
                        "qas": [
                            {
                                "question": f"{question} in {code}?",
                                "answers": [{"text": "answer", "answer_start": len(first) + 8}],
                                "id": question,
                            }
                        ],
                        "sentence_breaks": [
                            [0, len(first)],
                            [len(first) + 1, len(first) + 1 + len(second)],
                        ],
                        "sentences": [first, second],
                    }
                ],
            }
        )
    content = json.dumps({"version": 1.0, "data": articles})
    (folder / f"{code}.json").write_text(content, encoding="utf-8")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for code, questions in HAS.items():
        write(tmp_path, code, questions)
    return tmp_path


def test_published_counts(shared_data: Path) -> None:
    files = shared_data / "mlqa-r"
    if not files.is_dir():
        pytest.skip(f"needs MLQA-R in {files}")
    benchmark = mlqa_r(files)
    pool = sum(CANDIDATES.values())
    assert benchmark.counts() == {"queries": QUERIES, "candidates": CANDIDATES, "pool": pool}
    assert set(np.diff(benchmark.relevant_offsets)) == {2, 3, 4}


def test_answers_are_those_of_the_languages_that_have_the_question(folder: Path) -> None:
    benchmark = mlqa_r(folder)
    assert benchmark.name == "mlqa_r"
    assert benchmark.counts() == {
        "queries": {"de": 3, "en": 4, "es": 2},
        "candidates": {"de": 6, "en": 8, "es": 4},
        "pool": 18,
    }
    answer_of = {
        "q1": ["de:2:1", "en:0:1", "es:0:1"],
        "q2": ["de:1:1", "en:1:1"],
        "q3": ["en:2:1", "es:1:1"],
        "q4": ["de:0:1", "en:3:1"],
    }
    assert relevant_ids(benchmark) == {
        f"{code}:{question}": answer_of[question] for code in sorted(HAS) for question in HAS[code]
    }


def embeddings(benchmark: Benchmark, worse: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """A query scores 1 with its answers, `worse` of that for some, and .5 with the sentences before them."""
    questions = sorted(set(benchmark.query_group))
    queries = np.array([[q == g for q in questions] for g in benchmark.query_group], dtype=np.float32)
    candidates = np.array(
        [
            [(worse.get(i, 1.0) if "answer" in text else 0.5) if f"{q}." in text else 0 for q in questions]
            for i, text in zip(benchmark.candidate_ids, benchmark.candidate_texts, strict=True)
        ],
        dtype=np.float32,
    )
    return queries, candidates


def test_a_pair_counts_only_the_questions_that_both_languages_have(folder: Path) -> None:
    """The Spanish answer to q3 is ranked second; q2 and q4 have no Spanish answer and count nowhere."""
    benchmark = mlqa_r(folder)
    metrics = evaluate_embeddings(*embeddings(benchmark, {"es:1:1": 0.25}), benchmark).metrics
    pairs = {x: {y: of["map"] for y, of in others.items()} for x, others in metrics["per_pair"].items()}
    assert pairs == {
        "de": {"en": 1.0, "es": 1.0},  # q1 alone is in both de and es
        "en": {"de": 1.0, "es": 0.75},  # q1 and q3
        "es": {"de": 1.0, "en": 1.0},
    }
    assert metrics["cross_lingual"]["map"] == pytest.approx((5 + 0.75) / 6)
    assert metrics["per_language"]["es"]["monolingual"]["map"] == 0.75


def test_languages_without_a_question_in_common_are_no_pair(folder: Path) -> None:
    write(folder, "zh", ["q9"])
    benchmark = mlqa_r(folder, languages=["es", "zh", "en"])
    metrics = evaluate_embeddings(*embeddings(benchmark, {}), benchmark).metrics
    assert math.isnan(metrics["per_pair"]["zh"]["es"]["map"])
    assert metrics["cross_lingual"]["map"] == 1.0
    assert metrics["monolingual"]["map"] == 1.0
    assert math.isnan(metrics["per_language"]["zh"]["rank_distance"])  # its one question has one answer


def test_leaving_out_languages_leaves_every_question_one_answer(folder: Path) -> None:
    benchmark = mlqa_r(folder, languages=["de", "es"])
    answers = relevant_ids(benchmark)
    assert answers["de:q2"] == ["de:1:1"]
    assert answers["de:q1"] == ["de:2:1", "es:0:1"]


@pytest.mark.parametrize(("form", "pool"), [("sentence+context", 18), ("context", 9)])
def test_forms_of_candidate(folder: Path, form: str, pool: int) -> None:
    benchmark = mlqa_r(folder, candidate=form)
    assert len(benchmark.candidate_ids) == pool
    start = "The de answer to q4. " if form == "sentence+context" else ""
    answer = benchmark.candidate_ids.index("de:0:1" if start else "de:0")
    assert benchmark.candidate_texts[answer] == f"{start}Before q4. The de answer to q4."


def test_messages_name_this_benchmark(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere: no such folder.*folder mlqa-dev-r of \S+lareqa"):
        mlqa_r(tmp_path / "nowhere")
