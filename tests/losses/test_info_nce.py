"""InfoNCE against sentence-transformers and against a plain loop."""

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.info_nce import InfoNCE


def unit(rows: int, dimension: int = 16, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return functional.normalize(torch.randn(rows, dimension, generator=generator), dim=1)


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

    loss = InfoNCE(temperature)(queries, passages, torch.arange(n), torch.arange(len(passages)))

    torch.testing.assert_close(loss, expected)


def test_equals_a_plain_loop_with_false_negatives_and_padding() -> None:
    """Hard negatives that are another query's positive, the own positive, each other, or absent (-1)."""
    positive_ids = [4, 7, 2, 9]
    passage_ids = [*positive_ids, 7, 4, 2, 2, -1, 30, -1, 31]
    queries, passages = unit(4, seed=3), unit(12, seed=4)

    loss = InfoNCE(0.1)(queries, passages, torch.tensor(positive_ids), torch.tensor(passage_ids))

    assert float(loss) == pytest.approx(
        plain_loop(queries, passages, positive_ids, passage_ids, 0.1), rel=1e-5
    )


def test_excluded_passages_get_no_gradient() -> None:
    queries, passages = unit(2, seed=5), unit(4, seed=6).requires_grad_()
    InfoNCE()(queries, passages, torch.tensor([1, 2]), torch.tensor([1, 2, -1, 3])).backward()

    assert passages.grad is not None
    assert (passages.grad.abs().sum(1) > 0).tolist() == [True, True, False, True]


def test_translations_in_the_batch_are_no_negatives() -> None:
    """A copy of every passage under the same id, as in another language, changes nothing."""
    queries, passages, copies = unit(5, seed=7), unit(5, seed=8), unit(5, seed=9)
    ids = torch.arange(5)

    alone = InfoNCE()(queries, passages, ids, ids)
    together = InfoNCE()(queries, torch.cat([passages, copies]), ids, torch.cat([ids, ids]))
    other_ids = InfoNCE()(queries, torch.cat([passages, copies]), ids, torch.cat([ids, ids + 5]))

    # Every copy is masked for its own query only, so it stays a negative of the others.
    assert float(alone) < float(together) < float(other_ids)
    expected = plain_loop(queries, torch.cat([passages, copies]), ids.tolist(), 2 * ids.tolist(), 0.05)
    assert float(together) == pytest.approx(expected, rel=1e-5)


def test_order_of_pairs_does_not_matter() -> None:
    queries, passages, ids, order = unit(6, seed=1), unit(6, seed=2), torch.arange(6), torch.randperm(6)

    torch.testing.assert_close(
        InfoNCE()(queries[order], passages[order], ids[order], ids[order]),
        InfoNCE()(queries, passages, ids, ids),
    )


def test_learned_temperature_has_a_gradient_and_a_floor() -> None:
    queries, ids = unit(4), torch.arange(4)
    loss = InfoNCE(0.05, learn_temperature=True)
    assert float(loss.temperature) == pytest.approx(0.05)
    assert [name for name, _ in loss.named_parameters()] == ["log_scale"]

    # All positives are found already, so a lower temperature lowers the loss.
    loss(queries, queries, ids, ids).backward()
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
