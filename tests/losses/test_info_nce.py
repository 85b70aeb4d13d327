"""InfoNCE against sentence-transformers and against a plain loop."""

import math
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.pair_ids import PairIds
from tests.losses.terms.plain_info_nce import plain_info_nce
from tests.losses.terms.pushes import at_degrees

OPTIONS: list[dict[str, Any]] = [
    {"reverse": 1.0},
    {"within_view": True},
    {"margin": 0.0},
    {"reverse": 0.3, "margin": -0.2},
    {"reverse": 1.0, "within_view": True, "margin": 0.1},
    {"dimensions": [16, 8, 3]},
    {"dimensions": [8, 16], "dimension_weights": [1, 0.25], "reverse": 0.5, "within_view": True},
]


def unit(rows: int, dimension: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dimension, generator=generator), dim=1)


def ids_of(pairs: int, passages: Sequence[int] | Tensor | None = None) -> PairIds:
    """Of pairs with different queries; None numbers their positives."""
    found = torch.arange(pairs) if passages is None else torch.as_tensor(passages)
    return PairIds(torch.arange(pairs) + 1000, found)


def plain_loop(
    queries: Tensor, passages: Tensor, positive_ids: list[int], passage_ids: list[int], temperature: float
) -> float:
    losses = []
    for i, query in enumerate(queries.double()):
        positive = float(query @ passages[i].double()) / temperature
        total = math.exp(positive)
        for j, passage_id in enumerate(passage_ids):
            if passage_id not in (positive_ids[i], -1):
                total += math.exp(float(query @ passages[j].double()) / temperature)
        losses.append(math.log(total) - positive)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("temperature", [0.02, 0.05, 1.0])
@pytest.mark.parametrize("negatives", [0, 2])
def test_equals_multiple_negatives_ranking_loss(temperature: float, negatives: int) -> None:
    from sentence_transformers.losses import MultipleNegativesRankingLoss  # noqa: PLC0415 (seconds)

    n = 7
    queries, passages = unit(n, seed=1), unit(n * (1 + negatives), seed=2)
    theirs = MultipleNegativesRankingLoss(torch.nn.Identity(), scale=1 / temperature)  # type: ignore[arg-type]
    expected = theirs.compute_loss_from_embeddings([queries, *passages.chunk(1 + negatives)], None)

    loss = InfoNCE(temperature)(queries, passages, ids_of(n, range(len(passages))))

    torch.testing.assert_close(loss, expected)


def test_equals_a_plain_loop_with_false_negatives_and_padding() -> None:
    """Hard negatives that are another query's positive, the own positive, each other, or absent (-1)."""
    positive_ids = [4, 7, 2, 9]
    passage_ids = [*positive_ids, 7, 4, 2, 2, -1, 30, -1, 31]
    queries, passages = unit(4, seed=3), unit(12, seed=4)

    loss = InfoNCE(0.1)(queries, passages, ids_of(4, passage_ids))

    assert float(loss) == pytest.approx(
        plain_loop(queries, passages, positive_ids, passage_ids, 0.1), rel=1e-5
    )


def test_excluded_passages_get_no_gradient() -> None:
    queries, passages = unit(2, seed=5), unit(4, seed=6).requires_grad_()
    InfoNCE()(queries, passages, ids_of(2, [1, 2, -1, 3])).backward()

    assert passages.grad is not None
    assert (passages.grad.abs().sum(1) > 0).tolist() == [True, True, False, True]


def test_translations_in_the_batch_are_no_negatives() -> None:
    """A copy of every passage under the same id, as in another language, changes nothing."""
    queries, passages, copies = unit(5, seed=7), unit(5, seed=8), unit(5, seed=9)
    ids = torch.arange(5)

    alone = InfoNCE()(queries, passages, ids_of(5))
    together = InfoNCE()(queries, torch.cat([passages, copies]), ids_of(5, torch.cat([ids, ids])))
    other_ids = InfoNCE()(queries, torch.cat([passages, copies]), ids_of(5, torch.cat([ids, ids + 5])))

    # Every copy is masked for its own query only, so it stays a negative of the others.
    assert float(alone) < float(together) < float(other_ids)
    expected = plain_loop(queries, torch.cat([passages, copies]), ids.tolist(), 2 * ids.tolist(), 0.05)
    assert float(together) == pytest.approx(expected, rel=1e-5)


def test_order_of_pairs_does_not_matter() -> None:
    queries, passages, order = unit(6, seed=1), unit(6, seed=2), torch.randperm(6)
    ids = PairIds(torch.tensor([5, 6, 7, 5, 8, 9]), torch.arange(6))

    torch.testing.assert_close(
        InfoNCE()(queries[order], passages[order], PairIds(ids.query[order], ids.passage[order])),
        InfoNCE()(queries, passages, ids),
    )


def test_learned_temperature_has_a_gradient_and_a_floor() -> None:
    queries, ids = unit(4), ids_of(4)
    loss = InfoNCE(0.05, learn_temperature=True)
    assert float(loss.temperature) == pytest.approx(0.05)
    assert [name for name, _ in loss.named_parameters()] == ["log_scale"]

    # All positives are found already, so a lower temperature lowers the loss.
    loss(queries, queries, ids).backward()
    assert loss.log_scale.grad is not None
    assert float(loss.log_scale.grad) < 0

    with torch.no_grad():
        loss.log_scale.fill_(10.0)
    assert float(loss.temperature) == pytest.approx(0.01)


def test_fixed_temperature_is_no_parameter_and_not_saved() -> None:
    assert list(InfoNCE(0.001).parameters()) == []
    assert InfoNCE(0.001).state_dict() == {}
    assert float(InfoNCE(0.001).temperature) == pytest.approx(0.001)


@pytest.mark.parametrize("temperature", [0, -0.05, float("nan"), "0.05", None, True])
def test_bad_temperature(temperature: object) -> None:
    with pytest.raises(UserError, match=r"loss\.temperature must be a positive number"):
        InfoNCE(temperature)  # type: ignore[arg-type]


@pytest.mark.parametrize("query_ids", [[10, 11, 12, 13], [10, 11, 10, 13], [10, 10, 11, 11]], ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_options_equal_plain_loops_in_value_and_gradient(
    options: dict[str, Any], query_ids: list[int]
) -> None:
    """With hard negatives, false negatives, a repeated positive and padding."""
    passage_ids = [4, 7, 2, 7, 7, 4, 2, 2, -1, 30, -1, 31]
    ids = PairIds(torch.tensor(query_ids), torch.tensor(passage_ids))
    queries, passages = unit(4, seed=3).double(), unit(12, seed=4).double()
    values, gradients = [], []
    for plain in (False, True):
        leaves = [queries.clone().requires_grad_(), passages.clone().requires_grad_()]
        if plain:
            loss = plain_info_nce(
                leaves[0], leaves[1], range(4), passage_ids, query_ids, temperature=0.2, **options
            )
        else:
            loss = InfoNCE(0.2, **options)(*leaves, ids)
        torch.autograd.backward(loss)
        values.append(loss.detach())
        gradients.append([leaf.grad for leaf in leaves])

    torch.testing.assert_close(values[0], values[1], rtol=1e-6, atol=1e-9)
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-6, atol=1e-7)
    default = InfoNCE(0.2)(queries, passages, ids)
    assert abs(float(default - values[0])) > 1e-3


def test_options_off_change_nothing_to_the_bit() -> None:
    queries, passages, ids = unit(5, seed=1), unit(15, seed=2), ids_of(5, range(15))
    off = {"reverse": 0.0, "within_view": False, "margin": None, "dimensions": None}
    found = []
    for loss in (InfoNCE(), InfoNCE(**off), InfoNCE(dimensions=[16]), InfoNCE(margin=-3.0)):  # type: ignore[arg-type]
        leaves = [queries.clone().requires_grad_(), passages.clone().requires_grad_()]
        value = loss(*leaves, ids)
        value.backward()
        found.append([value.detach(), leaves[0].grad, leaves[1].grad])

    for other in found[1:]:
        assert all(torch.equal(x, y) for x, y in zip(found[0], other, strict=True))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("directions", "options"),
    [
        (("query_to_doc", "query_to_query"), {"within_view": True}),
        (("query_to_doc", "doc_to_query"), {"reverse": 1.0}),
    ],
)
def test_views_equal_those_of_sentence_transformers(
    directions: tuple[str, ...], options: dict[str, Any]
) -> None:
    from sentence_transformers.sentence_transformer.losses import (  # noqa: PLC0415 (seconds)
        MultipleNegativesRankingLoss,
    )

    queries, passages, ids = unit(6, seed=1), unit(6, seed=2), ids_of(6)
    theirs = MultipleNegativesRankingLoss(
        torch.nn.Identity(),  # type: ignore[arg-type]
        scale=10.0,
        directions=directions,  # type: ignore[arg-type]
        partition_mode="per_direction" if "reverse" in options else "joint",
    )

    torch.testing.assert_close(
        InfoNCE(0.1, **options)(queries, passages, ids),
        theirs.compute_loss_from_embeddings([queries, passages], None),  # type: ignore[arg-type]
    )


def test_symmetric_loss_does_not_care_which_side_is_called_query() -> None:
    queries, passages, ids = unit(6, seed=1), unit(6, seed=2), ids_of(6, [0, 1, 2, 2, 4, 5])
    loss = InfoNCE(reverse=1.0, within_view=True, margin=0.1)

    torch.testing.assert_close(loss(queries, passages, ids), loss(passages, queries, ids))


@pytest.mark.parametrize(("margin", "dropped"), [(0.0, 1), (0.2, 2), (-0.1, 0), (5.0, 3)])
def test_margin_drops_what_scores_above_the_positive_minus_margin(margin: float, dropped: int) -> None:
    """Positive at 60 degrees (0.5); negatives with 0.57, 0.34 and -1: dropped if above 0.5 - margin."""
    query, passages = at_degrees(0), at_degrees(60, 55, 70, 180).requires_grad_()
    InfoNCE(1.0, margin=margin)(query, passages, ids_of(1, range(1, 5))).backward()

    assert passages.grad is not None
    negatives = (passages.grad[1:].abs().sum(1) > 0).tolist()
    assert negatives == [False] * dropped + [True] * (3 - dropped)


def test_truncated_embeddings_do_not_see_the_numbers_behind() -> None:
    queries, passages, ids = unit(4, seed=1), unit(4, seed=2), ids_of(4)
    noisy = torch.cat([queries[:, :8], 100 * unit(4, 8, seed=3)], dim=1)

    torch.testing.assert_close(
        InfoNCE(dimensions=[8])(noisy, passages, ids),
        InfoNCE(dimensions=[8])(queries, passages, ids),
    )


def test_scores_are_float32_under_autocast() -> None:
    queries, passages, ids = unit(6, seed=1), unit(6, seed=2), ids_of(6)
    loss = InfoNCE(0.01)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (queries @ passages.T).dtype == torch.bfloat16
        rounded = loss(queries, passages, ids)

    assert torch.equal(rounded, loss(queries, passages, ids))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"reverse": -1}, "loss.reverse"),
        ({"reverse": True}, "loss.reverse"),
        ({"within_view": 1}, "loss.within_view"),
        ({"margin": "small"}, "loss.margin"),
        ({"margin": float("nan")}, "loss.margin"),
        ({"dimensions": []}, "loss.dimensions"),
        ({"dimensions": 64}, "loss.dimensions"),
        ({"dimensions": [64, 64]}, "loss.dimensions"),
        ({"dimensions": [64, 0.5]}, "loss.dimensions"),
        ({"dimensions": [8, 4], "dimension_weights": [1]}, "loss.dimension_weights"),
        ({"dimensions": [8, 4], "dimension_weights": [0, 0]}, "loss.dimension_weights"),
        ({"dimension_weights": [1]}, "loss.dimension_weights"),
    ],
    ids=str,
)
def test_bad_options(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        InfoNCE(**options)


def test_dimension_above_that_of_the_embeddings() -> None:
    ids = ids_of(3)
    with pytest.raises(UserError, match=r"loss\.dimensions=\[32, 8\]: 32 is more than the 16"):
        InfoNCE(dimensions=[32, 8])(unit(3), unit(3), ids)
