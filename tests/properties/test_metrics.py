"""Every metric, at drawn ranks with drawn grades, against pytrec_eval."""

import numpy as np
import pytest
import pytrec_eval
from hypothesis import given
from hypothesis import strategies as st

from hybrid_retrieval.evaluation.metrics import NOT_RETRIEVED, RelevantRanks, metric
from tests.properties.profiles import EXAMPLES, on

CUTOFFS = (1, 2, 5, 10, 20, 100)
DEPTH = 120


@st.composite
def queries(draw: st.DrawFn) -> list[dict[int, int]]:
    """For each query the grade of each relevant document by its rank; beyond `DEPTH` none is retrieved."""
    ranks = st.dictionaries(st.integers(1, DEPTH + 30), st.integers(1, 4), min_size=1, max_size=25)
    return draw(st.lists(ranks, min_size=1, max_size=5))


def trec_eval(of: list[dict[int, int]], depth: int) -> dict[str, dict[str, float]]:
    """What pytrec_eval makes of a run of some depth."""
    qrels = {f"q{q}": {f"d{rank}": grade for rank, grade in ranks.items()} for q, ranks in enumerate(of)}
    run = {query: {f"d{rank}": 1.0 / rank for rank in range(1, depth + 1)} for query in qrels}
    names = ",".join(map(str, CUTOFFS))
    measures = {"map", f"map_cut.{names}", f"recall.{names}", f"ndcg_cut.{names}", "recip_rank"}
    found: dict[str, dict[str, float]] = pytrec_eval.RelevanceEvaluator(qrels, measures).evaluate(run)
    return found


@EXAMPLES
def test_equal_those_of_trec_eval(examples: int) -> None:
    @on(examples)
    @given(queries(), st.randoms(use_true_random=False))
    def holds(of: list[dict[int, int]], random: object) -> None:
        pairs = [
            (q, rank if rank <= DEPTH else NOT_RETRIEVED, grade)
            for q, ranks in enumerate(of)
            for rank, grade in ranks.items()
        ]
        random.shuffle(pairs)  # type: ignore[attr-defined]
        query, rank, grade = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
        ranks = RelevantRanks.of(query, rank, len(of), grade)
        full = trec_eval(of, DEPTH)
        for q, relevant in enumerate(of):
            expected = full[f"q{q}"]
            assert metric("map")(ranks)[q] == pytest.approx(expected["map"], abs=1e-6)
            for k in CUTOFFS:
                found = {name: metric(f"{name}@{k}")(ranks)[q] for name in ("map", "recall", "ndcg", "mrr")}
                best = len(relevant) / min(len(relevant), k)  # map_cut divides by R, map@k by min(R, k)
                assert found["map"] == pytest.approx(expected[f"map_cut_{k}"] * best, abs=1e-6)
                assert found["recall"] == pytest.approx(expected[f"recall_{k}"], abs=1e-6)
                assert found["ndcg"] == pytest.approx(expected[f"ndcg_cut_{k}"], abs=1e-6)
                first = expected["recip_rank"]
                assert found["mrr"] == pytest.approx(first if first * k >= 1 - 1e-9 else 0, abs=1e-6)

    holds()
