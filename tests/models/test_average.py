"""The mean of the weights of several models, and which ones it refuses."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.average import average_weights
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return prepare_tiny(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def model(folder: Path) -> Callable[[int], TextEncoder]:
    """A tiny encoder whose weights were moved by noise of a seed; 0 leaves them."""

    def make(seed: int) -> TextEncoder:
        encoder = TextEncoder.from_folder(folder, name=f"tiny{seed}")
        torch.manual_seed(seed)
        with torch.no_grad():
            for weight in encoder.parameters():
                weight.add_(bool(seed) * 0.1 * torch.randn_like(weight))
        return encoder

    return make


def test_every_weight_is_the_weighted_mean(model: Callable[[int], TextEncoder]) -> None:
    mean, first, second, third = model(1), *(dict(model(seed).named_parameters()) for seed in (1, 2, 3))

    average_weights(mean, [model(2), model(3)], [0.25, 0.6])

    for name, weight in mean.named_parameters():
        expected = 0.15 * first[name] + 0.25 * second[name] + 0.6 * third[name]
        torch.testing.assert_close(weight, expected, atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize(("share", "same_as"), [(0.0, 1), (1.0, 2)])
def test_the_ends_are_the_models_to_the_bit(
    model: Callable[[int], TextEncoder], share: float, same_as: int
) -> None:
    mean = model(1)
    average_weights(mean, [model(2)], [share])
    for found, expected in zip(mean.parameters(), model(same_as).parameters(), strict=True):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("shares", [[], [0.5, 0.5], [-0.1], [1.2]])
def test_shares_that_do_not_fit_are_refused(model: Callable[[int], TextEncoder], shares: list[float]) -> None:
    with pytest.raises(UserError, match=r"average\.shares="):
        average_weights(model(1), [model(2)], shares)


def test_models_that_are_not_alike_are_refused(model: Callable[[int], TextEncoder], folder: Path) -> None:
    smaller = model(1)
    smaller.transformer.resize_token_embeddings(100)  # type: ignore[operator]
    with pytest.raises(UserError, match="other names or sizes"):
        average_weights(model(1), [smaller], [0.5])
    other = TextEncoder.from_folder(folder, name="tiny", pooling="cls")
    with pytest.raises(UserError, match="pooling or prefixes differ"):
        average_weights(model(1), [other], [0.5])
