import pytest

from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmarks.parallel import benchmark_from_rows

from .test_xquad_r import relevant_ids


def row(code: str, number: int, passage: str | None = None) -> Row:
    passage = passage or f"p{number}"
    return Row(f"r{number}", f"{code} question {number}", f"{code} {passage}", passage, negatives=("p2",))


def test_rows_that_share_a_passage_share_a_candidate() -> None:
    rows = {"en": [row("en", 1), row("en", 2), row("en", 3, "p1")], "de": [row("de", 1), row("de", 4)]}
    benchmark = benchmark_from_rows("world_facts", rows)
    assert benchmark.languages == ("de", "en")
    assert benchmark.candidate_ids == ["de:p1", "de:p4", "en:p1", "en:p2"]
    assert benchmark.candidate_texts == ["de p1", "de p4", "en p1", "en p2"]
    assert benchmark.query_group == ["r1", "r4", "r1", "r2", "r3"]
    assert relevant_ids(benchmark) == {
        "de:r1": ["de:p1", "en:p1"],
        "de:r4": ["de:p4"],
        "en:r1": ["de:p1", "en:p1"],
        "en:r2": ["en:p2"],
        "en:r3": ["de:p1", "en:p1"],
    }


def test_mistakes_in_the_rows_are_named() -> None:
    with pytest.raises(UserError, match=r"world_facts \(en\): row id 'r1' occurs twice"):
        benchmark_from_rows("world_facts", {"en": [row("en", 1), row("en", 1)]})
    with pytest.raises(UserError, match=r"passage id 'p1' has two texts, one in row 'r2'"):
        benchmark_from_rows("world_facts", {"en": [row("en", 1), Row("r2", "q", "other", "p1")]})
    with pytest.raises(UserError, match="no rows"):
        benchmark_from_rows("world_facts", {"en": [], "de": []})
