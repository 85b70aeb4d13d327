"""The agreement term against its definition, and that the scores of parallel queries come together."""

import pytest
import torch
from torch.nn import functional

from hybrid_retrieval.losses.terms.score_agreement import score_agreement
from tests.losses.terms.pushes import at_degrees, descend, unit


def test_is_the_mean_of_both_divergences() -> None:
    queries, parallel, passages = unit(3), unit(3, seed=1), unit(7, seed=2)
    p, q = ((x @ passages.T / 0.2).softmax(1) for x in (queries, parallel))
    both = functional.kl_div(q.log(), p, reduction="batchmean") + functional.kl_div(
        p.log(), q, reduction="batchmean"
    )

    found = score_agreement(queries, parallel, passages, temperature=0.2)

    torch.testing.assert_close(found, both / 2)
    torch.testing.assert_close(found, score_agreement(parallel, queries, passages, temperature=0.2))


def test_pushes_both_queries_to_the_same_scores() -> None:
    """One query prefers the first passage, its translation the second."""
    passages = at_degrees(-40, 40)
    queries, parallel = at_degrees(-15), at_degrees(20)

    moved = descend(lambda x, y: score_agreement(x, y, passages), queries, parallel)

    def preference(query: torch.Tensor) -> float:
        return float((query @ passages.T)[0, 0] - (query @ passages.T)[0, 1])

    assert preference(queries) > preference(moved[0]) + 1e-3
    assert preference(parallel) < preference(moved[1]) - 1e-3


def test_what_no_passage_tells_apart_does_not_matter() -> None:
    """Queries with equal scores agree, although their embeddings differ: the term is no alignment."""
    passages = torch.eye(3)[:2]
    queries, parallel = torch.tensor([[0.6, 0.0, 0.8]]), torch.tensor([[0.6, 0.0, -0.8]])

    assert float(score_agreement(queries, parallel, passages)) == pytest.approx(0, abs=1e-7)
