"""The centring term by hand, and that it moves languages, not the spread within them."""

import pytest
import torch

from hybrid_retrieval.losses.terms.language_centring import language_centring
from tests.losses.terms.pushes import unit


def test_by_hand() -> None:
    """Language 7 has its mean at (1, 0), language 2 at (-2, 0), all have theirs at (0, 0)."""
    embeddings = torch.tensor([[1.0, 1.0], [1.0, -1.0], [1.0, 0.0], [1.0, 0.0], [-2.0, 1.0], [-2.0, -1.0]])
    languages = torch.tensor([7, 7, 7, 7, 2, 2])

    assert float(language_centring(embeddings, languages)) == pytest.approx(4 / 6 * 1 + 2 / 6 * 4)


def test_is_the_part_of_the_variance_between_languages() -> None:
    """Law of total variance: the rest is the variance within languages."""
    embeddings, languages = unit(30).double(), torch.arange(30) % 4
    within = torch.stack([embeddings[languages == x].var(0, correction=0).sum() for x in range(4)])
    shares = torch.bincount(languages).double() / 30

    total = language_centring(embeddings, languages) + (shares * within).sum()

    torch.testing.assert_close(total, embeddings.var(0, correction=0).sum())


def test_pushes_the_centres_of_languages_together_and_keeps_each_language_as_it_is() -> None:
    embeddings, languages = unit(8, seed=3).requires_grad_(), torch.arange(8) % 2
    torch.autograd.backward(language_centring(embeddings, languages))
    assert embeddings.grad is not None
    moved = (embeddings - embeddings.grad).detach()

    def gap(x: torch.Tensor) -> float:
        return float((x[languages == 0].mean(0) - x[languages == 1].mean(0)).norm())

    assert gap(moved) < 0.9 * gap(embeddings.detach())
    for language in (0, 1):
        gradient = embeddings.grad[languages == language]
        torch.testing.assert_close(gradient, gradient[:1].expand_as(gradient))


def test_one_language_has_no_value_and_no_gradient() -> None:
    embeddings = unit(5).requires_grad_()
    value = language_centring(embeddings, torch.full((5,), 3))
    torch.autograd.backward(value)

    assert value.item() == pytest.approx(0, abs=1e-12)
    torch.testing.assert_close(embeddings.grad, torch.zeros(5, 16), atol=1e-7, rtol=0)


def test_numbers_of_languages_do_not_matter() -> None:
    embeddings, languages = unit(9), torch.arange(9) % 3

    torch.testing.assert_close(
        language_centring(embeddings, languages),
        language_centring(embeddings, torch.tensor([40, 2, 11])[languages]),
    )
