"""Which precision each kind of hardware gets."""

import pytest
import torch

from hybrid_retrieval.training.precision import best_precision


def machine(monkeypatch: pytest.MonkeyPatch, *, amx: bool, cuda: bool = False, bf16: bool = False) -> None:
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation
    )


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_cpu_without_amx_gets_float32(monkeypatch: pytest.MonkeyPatch, accelerator: str) -> None:
    machine(monkeypatch, amx=False)
    assert best_precision(accelerator) == "32-true"


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_cpu_with_amx_gets_bf16(monkeypatch: pytest.MonkeyPatch, accelerator: str) -> None:
    machine(monkeypatch, amx=True)
    assert best_precision(accelerator) == "bf16-mixed"


@pytest.mark.parametrize("accelerator", ["auto", "gpu", "cuda"])
@pytest.mark.parametrize(("bf16", "expected"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_gpu(monkeypatch: pytest.MonkeyPatch, accelerator: str, bf16: bool, expected: str) -> None:
    machine(monkeypatch, amx=False, cuda=True, bf16=bf16)
    assert best_precision(accelerator) == expected


def test_cpu_asked_for_on_a_gpu_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, amx=False, cuda=True, bf16=True)
    assert best_precision("cpu") == "32-true"
