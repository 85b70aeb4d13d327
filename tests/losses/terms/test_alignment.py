"""Both forms of the alignment term, that translations move together, and alignment with a teacher."""

import math

import pytest
import torch

from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.pair_ids import PairIds
from hybrid_retrieval.losses.terms.alignment import alignment
from hybrid_retrieval.losses.terms.registry import ExtraInputs
from tests.losses.terms.pushes import at_degrees, descend, unit


def test_cosine_form_by_hand() -> None:
    assert float(alignment(at_degrees(0, 10), at_degrees(60, 190))) == pytest.approx((0.5 + 2) / 2)


def test_contrastive_form_is_symmetric_info_nce() -> None:
    texts, translations, ids = (
        unit(6),
        unit(6, seed=1),
        PairIds(torch.tensor([3, 1, 1, 9, 8, 7]), torch.arange(6)),
    )
    same = ids.query[:, None] == ids.query

    found = alignment(texts, translations, same, temperature=0.1)

    torch.testing.assert_close(found, InfoNCE(0.1, reverse=1.0)(texts, translations, ids))
    torch.testing.assert_close(found, alignment(translations, texts, same, temperature=0.1))
    assert float(found) < float(alignment(texts, translations, temperature=0.1))


@pytest.mark.parametrize("temperature", [None, 1.0])
def test_pushes_translations_together_from_both_sides(temperature: float | None) -> None:
    texts, translations = at_degrees(0, 180), at_degrees(40, 220)

    moved = descend(lambda x, y: alignment(x, y, temperature=temperature), texts, translations)

    before, after = (texts * translations).sum(1), (moved[0] * moved[1]).sum(1)
    assert (after > before + 1e-4).all()
    assert (torch.stack([(moved[0] * translations).sum(1), (texts * moved[1]).sum(1)]) > before + 1e-5).all()


def test_contrastive_form_pushes_other_translations_away() -> None:
    texts, translations = at_degrees(0, 20), at_degrees(0, 20)

    moved = descend(lambda x: alignment(x, translations, temperature=0.1), texts)[0]

    assert float(moved[0] @ translations[1]) < float(texts[0] @ translations[1]) - 1e-4


def test_equal_texts_have_the_value_zero() -> None:
    assert float(alignment(unit(4), unit(4))) == pytest.approx(0, abs=1e-6)


# Queries 1 and 3 are one; passage 2 is a hard negative, too, and a hard negative is missing.
QUERY_IDS, PASSAGE_IDS = [40, 41, 42, 41], [0, 1, 2, 3, 2, 9, -1, 8]


def with_teacher(
    temperature: float | None, teacher: tuple[torch.Tensor, torch.Tensor]
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """The value of `teacher_alignment`, and the queries and passages that have its gradient."""
    options = {"teacher_alignment": {"temperature": temperature}}
    objective = Objective(InfoNCE(0.1), {"teacher_alignment": 1.0}, options)
    queries, passages = unit(4, seed=1).requires_grad_(), unit(8, seed=2).requires_grad_()
    ids = PairIds(torch.tensor(QUERY_IDS), torch.tensor(PASSAGE_IDS))
    names = ("teacher_queries", "teacher_passages")
    extra = ExtraInputs(**dict(zip(names, teacher, strict=True)))
    loss = objective(queries, passages, ids, extra)
    torch.autograd.backward(loss - InfoNCE(0.1)(queries, passages, ids))
    return objective.values["teacher_alignment"], queries, passages


def plain_teacher_alignment(
    sides: list[tuple[torch.Tensor, torch.Tensor, list[set[int]]]], temperature: float | None
) -> float:
    """Mean over the sides; each has the student's texts, the teacher's, and per row those it equals."""
    means = []
    for student, teacher, equal in sides:
        values = []
        for i in range(len(student)):
            if temperature is None:
                values.append(1 - (student[i] @ teacher[i]).item())
                continue
            for one, other in ((student, teacher), (teacher, student)):
                others = [j for j in range(len(one)) if j not in equal[i]]
                scores = [(one[i] @ other[j]).item() / temperature for j in others]
                own = (one[i] @ other[i]).item() / temperature
                values.append((math.log(sum(map(math.exp, scores)) + math.exp(own)) - own) / 2)
        means.append(sum(values) / len(student))
    return sum(means) / 2


@pytest.mark.parametrize("temperature", [None, 0.3])
def test_teacher_alignment_equals_a_plain_loop(temperature: float | None) -> None:
    """All passages take part but the missing one; rows of one id are no negatives of each other."""
    teacher = unit(4, seed=3), unit(8, seed=4)

    value, queries, passages = with_teacher(temperature, teacher)

    there = [i for i, row in enumerate(PASSAGE_IDS) if row != -1]
    equal = [{j for j, other in enumerate(QUERY_IDS) if other == row} for row in QUERY_IDS]
    ids = [PASSAGE_IDS[i] for i in there]
    equal_passages = [{j for j, other in enumerate(ids) if other == row} for row in ids]
    sides = [(queries, teacher[0], equal), (passages[there], teacher[1][there], equal_passages)]
    assert value.item() == pytest.approx(plain_teacher_alignment(sides, temperature), rel=1e-5)
    assert queries.grad is not None
    assert passages.grad is not None
    assert bool((queries.grad.norm(dim=1) > 1e-3).all())
    assert (passages.grad.norm(dim=1) > 1e-3).tolist() == [row != -1 for row in PASSAGE_IDS]


def test_teacher_alignment_of_a_student_equal_to_its_teacher_is_zero() -> None:
    assert float(with_teacher(None, (unit(4, seed=1), unit(8, seed=2)))[0]) == pytest.approx(0, abs=1e-6)
    assert float(with_teacher(None, (-unit(4, seed=1), unit(8, seed=2)))[0]) == pytest.approx(1, abs=1e-6)
