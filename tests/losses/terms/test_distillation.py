"""The distillation term against its definition, and that the student moves towards the teacher."""

import math

import pytest
import torch

from hybrid_retrieval.losses.terms.distillation import distillation
from tests.losses.terms.pushes import at_degrees, descend, unit


def softmax(scores: list[float]) -> list[float]:
    total = sum(math.exp(s) for s in scores)
    return [math.exp(s) / total for s in scores]


def test_equals_a_plain_loop_with_a_teacher_of_another_size() -> None:
    queries, passages, teacher_q, teacher_p = unit(3), unit(5, seed=1), unit(3, 7, 2), unit(5, 7, 3)
    expected = 0.0
    for i in range(3):
        student = softmax([float(queries[i] @ p) / 0.3 for p in passages])
        teacher = softmax([float(teacher_q[i] @ p) / 0.3 for p in teacher_p])
        expected += sum(t * math.log(t / s) for t, s in zip(teacher, student, strict=True)) / 3

    found = distillation(queries, passages, teacher_q, teacher_p, temperature=0.3)

    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_pushes_the_query_to_the_passage_that_the_teacher_prefers() -> None:
    """The student is between two passages, the teacher next to the second."""
    passages, teacher = at_degrees(-60, 60), at_degrees(50)

    (moved,) = descend(lambda q: distillation(q, passages, teacher, passages), at_degrees(0))

    assert float(moved @ passages[1]) > float(moved @ passages[0]) + 0.01


def test_a_student_equal_to_the_teacher_stays_and_the_teacher_gets_no_gradient() -> None:
    queries, passages = unit(4).requires_grad_(), unit(6, seed=1).requires_grad_()
    teacher = unit(4).requires_grad_()

    value = distillation(queries, passages, teacher, passages.detach())
    torch.autograd.backward(value)

    assert value.item() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(queries.grad, torch.zeros(4, 16), atol=1e-5, rtol=0)
    assert teacher.grad is None
