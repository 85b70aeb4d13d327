"""Two processes that share the weights do what one process with the whole batch does."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hybrid_retrieval.models.dual_encoder import DualEncoder
from tests.losses import dual_encoder_parts
from tests.processes import run_module
from tests.training import fsdp2_processes
from tests.training.fsdp2_processes import BATCH, CASES, RANKS, STEPS

pytestmark = pytest.mark.usefixtures("one_thread")

pytest.importorskip("peft", reason="needs peft, an optional package")
if not hasattr(torch.cpu.Stream, "record_event"):
    pytest.skip("this version of torch shards weights on GPUs only", allow_module_level=True)


@pytest.fixture(scope="module")
def of_two_processes(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    run_module("tests.training.fsdp2_processes", prepared, out)
    return out


@pytest.mark.parametrize("case", CASES)
def test_loss_and_gradient_equal_those_of_one_process(
    prepared: Path, of_two_processes: Path, case: str
) -> None:
    """Also though the two have their texts in different numbers of chunks."""
    expected = fsdp2_processes.gradients(prepared, DualEncoder, **CASES[case])
    assert any(name.endswith("log_scale") for name in expected)
    assert (any("lora_" in name for name in expected)) == (case == "lora")

    for rank in range(RANKS):
        found = torch.load(of_two_processes / f"{case}-{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_the_processes_have_different_numbers_of_chunks(prepared: Path) -> None:
    """Else the test above would not show that it does no harm."""
    model = fsdp2_processes.dual_encoder(prepared)
    collate, plan = dual_encoder_parts.collator(prepared), dual_encoder_parts.plan(prepared)
    batches = [collate(plan[BATCH].rank_slice(rank, RANKS)) for rank in range(RANKS)]
    assert len({len(model.chunks(batch.passages, model.encoder)) for batch in batches}) == RANKS


@pytest.fixture(scope="module")
def of_one_process(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("one")
    fsdp2_processes.fit(prepared, out, devices=1)
    return out


def test_training_interrupted_and_resumed_equals_that_of_one_process(
    prepared: Path, of_two_processes: Path, of_one_process: Path
) -> None:
    """With clipped gradients, validation between the steps, and a checkpoint of whole weights."""
    one, two = (torch.load(at / "fit.pt", weights_only=True) for at in (of_one_process, of_two_processes))
    start = fsdp2_processes.dual_encoder(prepared).state_dict()
    torch.testing.assert_close(two["weights"], one["weights"], atol=1e-5, rtol=0)
    assert any((one["weights"][name] - value).abs().max() > 1e-3 for name, value in start.items())
    for name in ("val/loss", "val/map_monolingual", "train/loss"):
        assert two["metrics"][name] == pytest.approx(one["metrics"][name], abs=1e-5)


def test_checkpoint_is_that_of_one_process(of_two_processes: Path, of_one_process: Path) -> None:
    """One file, whose weights any strategy can load; with the moments of every weight."""
    one, two = (torch.load(at / "last.ckpt", weights_only=True) for at in (of_one_process, of_two_processes))
    assert two["global_step"] == STEPS
    torch.testing.assert_close(two["state_dict"], one["state_dict"], atol=1e-5, rtol=0)

    def second_moments(checkpoint: dict[str, list[dict[str, dict[int, dict[str, Tensor]]]]]) -> list[float]:
        (optimizer,) = checkpoint["optimizer_states"]
        return sorted(float(state["exp_avg_sq"].sum()) for state in optimizer["state"].values())

    assert second_moments(two) == pytest.approx(second_moments(one), rel=1e-3)
