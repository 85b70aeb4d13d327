"""Which passages answer a query, against loops over pairs."""

import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from hybrid_retrieval.losses import info_nce
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.pair_ids import Answers, PairIds
from tests.losses.terms.pushes import unit


@pytest.mark.parametrize("seed", range(20))
def test_answers_equal_a_loop_over_pairs(seed: int) -> None:
    """With repeated queries and positives, rows of a part of the pairs, and passages that are no positive."""
    draw = random.Random(seed)
    pairs = [
        (draw.randrange(3, 9), draw.choice([5, 6, 7, 10**12, 9, 0])) for _ in range(draw.randrange(1, 9))
    ]
    rows = [query for query, _ in pairs[draw.randrange(len(pairs)) :]]
    passages = [draw.choice([-1, 0, 5, 6, 7, 8, 9, 10**12, 10**13]) for _ in range(draw.randrange(1, 20))]

    queries, positives = (torch.tensor(column) for column in zip(*pairs, strict=True))
    found = Answers(torch.tensor(rows), queries, positives).among(torch.tensor(passages))

    assert found.tolist() == [[(query, passage) in pairs for passage in passages] for query in rows]


class _SamePassage(Answers):
    """The rule without query ids: a passage answers a query if it has the id of the row's own positive."""

    def __init__(self, queries: Tensor, pair_queries: Tensor, pair_positives: Tensor) -> None:
        assert torch.equal(queries, pair_queries)
        self.positives = pair_positives

    def among(self, passages: Tensor) -> Tensor:
        return passages == self.positives[:, None]


@pytest.mark.parametrize("options", [{}, {"reverse": 0.5, "within_view": True, "margin": 0.1}], ids=str)
def test_different_queries_give_what_passage_ids_alone_give_to_the_bit(
    options: dict[str, float], monkeypatch: pytest.MonkeyPatch
) -> None:
    passage = torch.tensor([4, 7, 2, 7, 1, 0, 7, 4, 2, 2, -1, 30, -1, 31, 0, 1, 4, 8])
    found = []
    for of, query in ((Answers, torch.randperm(6)), (_SamePassage, torch.arange(6))):
        monkeypatch.setattr(info_nce, "Answers", of)
        leaves = [unit(6, seed=1).requires_grad_(), unit(18, seed=2).requires_grad_()]
        loss = InfoNCE(0.1, **options)(*leaves, PairIds(query, passage))  # type: ignore[arg-type]
        loss.backward()
        found.append([loss.detach(), *(leaf.grad for leaf in leaves)])

    assert all(torch.equal(x, y) for x, y in zip(*found, strict=True))


def test_two_positives_of_one_query_by_hand() -> None:
    """Pairs (q1, p1), (q1, p2) and (q3, p3); hard negatives p2, p4 and padding: p1 and p2 push neither."""
    ids = PairIds(torch.tensor([1, 1, 3]), torch.tensor([11, 12, 13, 12, 14, -1]))
    queries, passages = unit(3, seed=3).double(), unit(6, seed=4).double()
    exp = torch.exp

    def row(anchor: Tensor, positive: Tensor, negatives: list[Tensor]) -> Tensor:
        own = anchor @ positive
        return (exp(own) + sum(exp(anchor @ x) for x in negatives)).log() - own

    expected = [
        [
            row(queries[0], passages[0], [passages[2], passages[4], queries[2]]),
            row(queries[1], passages[1], [passages[2], passages[4], queries[2]]),
            row(queries[2], passages[2], [*passages[[0, 1, 3, 4]], *queries[:2]]),
        ],
        [
            row(passages[0], queries[0], [queries[2], passages[2], passages[4]]),
            row(passages[1], queries[1], [queries[2], passages[2], passages[4]]),
            row(passages[2], queries[2], [*queries[:2], *passages[[0, 1, 3, 4]]]),
        ],
    ]
    found = InfoNCE(1.0, reverse=1.0, within_view=True)(queries, passages, ids)

    torch.testing.assert_close(found, torch.stack([torch.stack(rows) for rows in expected]).mean())


def test_the_second_positive_gets_no_gradient_from_the_first_pair() -> None:
    """Where all pairs have one query, nothing is left to push away."""
    queries = unit(2, seed=3)
    passages = torch.cat([queries[:1], unit(1, seed=5)]).requires_grad_()
    ids = PairIds(torch.tensor([1, 1]), torch.tensor([11, 12]))

    InfoNCE(1.0, reverse=1.0, within_view=True)(queries, passages, ids).backward()
    assert passages.grad is not None
    assert float(passages.grad.abs().max()) == 0

    other = functional.normalize(passages.detach(), dim=1).requires_grad_()
    InfoNCE(1.0)(queries, other, PairIds(torch.tensor([1, 2]), ids.passage)).backward()
    assert other.grad is not None
    assert (other.grad.abs().sum(1) > 1e-3).all()
