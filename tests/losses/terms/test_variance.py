"""The variance term by hand, and where its gradient pushes negative pairs."""

import pytest
import torch

from hybrid_retrieval.losses.terms.variance import variance
from tests.losses.terms.pushes import at_degrees, descend, unit


def test_by_hand_over_negative_pairs_alone() -> None:
    """Passage 2 has the id of passage 0 (a translation), so the negative pairs are (0, 1), (1, 0), (1, 2)."""
    queries, passages = at_degrees(0, 90), at_degrees(0, 60, 180)
    answers = torch.tensor([[True, False, True], [False, True, False]])

    value = variance(queries, passages, answers, instances=3)

    squares = [(0.5 + 0.5) ** 2, (0 + 0.5) ** 2, (0 + 0.5) ** 2]
    assert float(value) == pytest.approx(sum(squares) / 3, abs=1e-6)


def test_pushes_cosines_of_negatives_to_the_target_from_both_sides() -> None:
    """Target -1/2: a negative at 60 degrees moves away, one at 170 degrees comes back."""
    none = torch.zeros(1, 1, dtype=torch.bool)
    for degrees, direction in ((60, -1), (170, 1)):
        query, passage = at_degrees(0), at_degrees(degrees)
        moved = descend(lambda q, p: variance(q, p, none, instances=3), query, passage)
        before, after = float(query @ passage.T), float(moved[0] @ moved[1].T)
        assert (after - before) * direction > 1e-4


def test_positive_pairs_and_translations_get_no_gradient() -> None:
    queries, passages = unit(1).requires_grad_(), unit(3, seed=1).requires_grad_()

    torch.autograd.backward(variance(queries, passages, torch.tensor([[True, True, False]])))

    assert passages.grad is not None
    assert (passages.grad.abs().sum(1) > 0).tolist() == [False, False, True]


def test_equidistant_embeddings_are_at_the_minimum() -> None:
    """Three directions 120 degrees apart, queries on their passages: all cosines are -1 / (3 - 1)."""
    corners = at_degrees(0, 120, 240)

    assert float(variance(corners, corners, torch.eye(3, dtype=torch.bool), instances=3)) == pytest.approx(
        0, abs=1e-12
    )


def test_many_instances_have_the_target_zero_and_no_negatives_the_value_zero() -> None:
    queries, passages, own = unit(4), unit(4, seed=1), torch.eye(4, dtype=torch.bool)

    limit = variance(queries, passages, own)
    torch.testing.assert_close(limit, variance(queries, passages, own, instances=10**9))
    assert float(variance(queries, passages, own | True)) == 0
