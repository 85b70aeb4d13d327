"""Which precision each kind of hardware gets, and which it cannot do."""

import pytest
import torch

from hybrid_retrieval.bfloat16 import multiplies_bf16
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.training.precision import (
    best_precision,
    fused_optimizer,
    training_device,
    training_precision,
    warn_of_emulation,
)


def machine(
    monkeypatch: pytest.MonkeyPatch,
    *,
    amx: bool = False,
    avx512_bf16: bool = False,
    cuda: bool = False,
    bf16: bool = False,
) -> None:
    """A CPU with these instructions, and perhaps a GPU that multiplies bf16."""
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(
        torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16 or including_emulation
    )


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
def test_cpu_without_bf16_gets_float32(monkeypatch: pytest.MonkeyPatch, accelerator: str) -> None:
    machine(monkeypatch)
    assert not multiplies_bf16()
    assert best_precision(accelerator) == "32-true"


@pytest.mark.parametrize("accelerator", ["auto", "cpu"])
@pytest.mark.parametrize(("amx", "avx512_bf16"), [(True, False), (False, True), (True, True)])
def test_cpu_that_multiplies_bf16_gets_it(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, amx: bool, avx512_bf16: bool
) -> None:
    machine(monkeypatch, amx=amx, avx512_bf16=avx512_bf16)
    assert multiplies_bf16()
    assert best_precision(accelerator) == "bf16-mixed"
    assert training_precision("auto", accelerator, "auto") == "bf16-mixed"
    assert training_precision("32-true", accelerator, "auto") == "32-true"


@pytest.mark.parametrize("accelerator", ["auto", "gpu", "cuda"])
@pytest.mark.parametrize(("bf16", "expected"), [(True, "bf16-mixed"), (False, "16-mixed")])
def test_gpu(monkeypatch: pytest.MonkeyPatch, accelerator: str, bf16: bool, expected: str) -> None:
    machine(monkeypatch, cuda=True, bf16=bf16)
    assert best_precision(accelerator) == expected


def test_the_device_asked_for_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, cuda=True, bf16=True)
    assert best_precision("cpu") == "32-true"
    machine(monkeypatch, avx512_bf16=True, cuda=True)
    assert best_precision("cpu") == "bf16-mixed"
    assert best_precision("auto") == "16-mixed"


@pytest.mark.parametrize(
    ("asked", "expected"),
    [("auto", "32-true"), (32, "32-true"), ("bf16", "bf16-mixed")],
)
def test_precisions_that_train_on_a_cpu(
    monkeypatch: pytest.MonkeyPatch, asked: str | int, expected: str
) -> None:
    machine(monkeypatch)
    assert training_precision(asked, "auto", "auto") == expected


@pytest.mark.parametrize(
    ("asked", "strategy", "says"),
    [
        (
            "16-mixed",
            "auto",
            r"trainer\.precision=16-mixed needs a GPU.*trainer\.precision=auto \(here 32-true",
        ),
        (16, "ddp", r"trainer\.precision=16 needs a GPU"),
        ("bf16-true", "auto", r"use trainer\.precision=bf16-mixed"),
        ("16-true", "auto", r"use trainer\.precision=16-mixed"),
        ("transformer-engine", "auto", r"is not supported: use auto, 32-true"),
        ("64-true", "auto", r"is not supported: use auto, 32-true"),
    ],
)
def test_precisions_that_would_fail_late_are_refused(
    monkeypatch: pytest.MonkeyPatch, asked: str | int, strategy: str, says: str
) -> None:
    machine(monkeypatch)
    with pytest.raises(UserError, match=says):
        training_precision(asked, "cpu", strategy)


def test_16_bit_weights_lose_the_steps_of_fine_tuning() -> None:
    """Why 16-bit weights are refused: of weights of usual size, a step of 2e-5 moves only the smallest."""
    weights = torch.empty(10_000).normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    moved = {}
    for dtype in (torch.float32, torch.bfloat16):
        parameter = torch.nn.Parameter(weights.to(dtype, copy=True))
        optimizer = torch.optim.AdamW([parameter], lr=2e-5, weight_decay=0.0)
        parameter.grad = torch.ones_like(parameter)
        optimizer.step()
        moved[dtype] = (parameter.detach() != weights.to(dtype)).float().mean()

    assert moved[torch.float32] == 1
    assert moved[torch.bfloat16] < 0.2


def test_old_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    """They multiply float16 but not bf16; FSDP2 has no scaler for float16."""
    machine(monkeypatch, cuda=True)
    assert training_precision("auto", "gpu", "ddp") == "16-mixed"
    assert training_precision("16-mixed", "gpu", "ddp") == "16-mixed"
    assert training_precision("auto", "gpu", "fsdp2") == "32-true"
    with pytest.raises(UserError, match=r"trainer\.strategy=fsdp2"):
        training_precision("16-mixed", "gpu", "fsdp2")


@pytest.mark.parametrize(
    ("asked", "precision", "clip", "expected"),
    [
        (True, "32-true", 1.0, True),
        (True, "bf16-mixed", 1.0, True),
        (True, "16-mixed", 1.0, False),
        (True, "16-mixed", None, True),
        (False, "32-true", 1.0, False),
    ],
)
def test_fused_adamw_where_gradients_can_be_clipped(
    asked: bool, precision: str, clip: float | None, expected: bool
) -> None:
    assert fused_optimizer(asked, precision, clip) is expected


@pytest.mark.parametrize(
    ("instructions", "warns"), [({"amx": True}, False), ({"avx512_bf16": True}, False), ({}, True)]
)
def test_emulated_bf16_is_warned_of(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    instructions: dict[str, bool],
    warns: bool,
) -> None:
    machine(monkeypatch, **instructions)
    warn_of_emulation("32-true", "cpu")
    assert not caplog.records
    warn_of_emulation("bf16-mixed", "cpu")
    assert bool(caplog.records) == warns
    assert not warns or "auto takes 32-true" in caplog.text


@pytest.mark.parametrize(
    ("accelerator", "cuda", "expected"),
    [("auto", False, "cpu"), ("auto", True, "cuda"), ("cpu", True, "cpu"), ("gpu", True, "cuda")],
)
def test_device_of_an_accelerator(
    monkeypatch: pytest.MonkeyPatch, accelerator: str, cuda: bool, expected: str
) -> None:
    machine(monkeypatch, cuda=cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert training_device(accelerator) == expected
