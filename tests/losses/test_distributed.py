"""Two processes with half the batch each do what one process with the whole batch does."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.losses import dual_encoder_parts, two_processes
from tests.processes import run_module

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def of_two_processes(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    run_module("tests.losses.two_processes", prepared, out)
    return out


def relative_difference(found: dict[str, Tensor], expected: dict[str, Tensor], step: int) -> float:
    """Norm of the difference of two gradients of all parameters, over the norm of the second."""
    names = [name for name in expected if name.startswith(f"{step}/")]
    difference = torch.cat([(found[name] - expected[name]).flatten() for name in names])
    return float(difference.norm() / torch.cat([expected[name].flatten() for name in names]).norm())


@pytest.mark.parametrize("local_loss", [True, False])
def test_gradient_equals_that_of_one_process(
    prepared: Path, of_two_processes: Path, local_loss: bool
) -> None:
    """All parameters of the encoder and the temperature, with hard negatives gathered across processes."""
    expected = two_processes.step_gradients(prepared, local_loss=local_loss)

    for rank in range(two_processes.RANKS):
        found = torch.load(of_two_processes / f"gradients-{local_loss}-{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys()
        for step in range(dual_encoder_parts.STEPS):
            assert relative_difference(found, expected, step) < 1e-6
        for name, gradient in expected.items():
            torch.testing.assert_close(found[name], gradient, atol=1e-6, rtol=1e-5, msg=name)
    assert any(name.endswith("log_scale") for name in expected)


def test_gradient_of_all_terms_equals_that_of_one_process(prepared: Path, of_two_processes: Path) -> None:
    """With translations, views and teacher texts that each process looks up for its half."""
    expected = two_processes.step_gradients(prepared, local_loss=True, terms=True)
    plain = two_processes.step_gradients(prepared, local_loss=True)

    for rank in range(two_processes.RANKS):
        found = torch.load(of_two_processes / f"gradients-terms-{rank}.pt", weights_only=True)
        assert found.keys() == expected.keys() > plain.keys()
        for step in range(dual_encoder_parts.STEPS):
            assert relative_difference(found, expected, step) < 1e-6
            assert relative_difference({**expected, **plain}, expected, step) > 0.01


def test_batches_have_queries_with_two_positives_on_different_processes(prepared: Path) -> None:
    """So that the comparisons above are of the mask, too."""
    plan, collate = dual_encoder_parts.plan(prepared), dual_encoder_parts.collator(prepared)
    shared = [
        set.intersection(
            *(set(collate(plan[step].rank_slice(rank, 2)).ids.query.tolist()) for rank in (0, 1))
        )
        for step in range(dual_encoder_parts.STEPS)
    ]

    assert any(shared)


def test_separate_halves_have_another_gradient(prepared: Path) -> None:
    """The comparison above can fail: without negatives of the other process the gradient is far away."""
    whole = two_processes.step_gradients(prepared, local_loss=True)
    halves = [two_processes.step_gradients(prepared, local_loss=True, rank=rank, of=2) for rank in (0, 1)]
    mean = {name: (halves[0][name] + halves[1][name]) / 2 for name in whole}

    assert relative_difference(mean, whole, 0) > 0.01


def test_training_and_validation_equal_those_of_one_process(
    prepared: Path, of_two_processes: Path, tmp_path: Path
) -> None:
    two_processes.fit(prepared, tmp_path / "fit.pt", devices=1)

    one = torch.load(tmp_path / "fit.pt", weights_only=True)
    two = torch.load(of_two_processes / "fit.pt", weights_only=True)
    start = dual_encoder_parts.dual_encoder(prepared, local_loss=True).encoder.state_dict()
    assert dual_encoder_parts.distance(two["weights"], one["weights"], start) < 1e-3
    for name in ("val/loss", "val/loss_cross_lingual", "val/map_monolingual", "val/map_multilingual"):
        assert two["metrics"][name] == pytest.approx(one["metrics"][name], abs=1e-4)
    assert two["metrics"]["train/loss"] == pytest.approx(one["metrics"]["train/loss"], abs=1e-5)
