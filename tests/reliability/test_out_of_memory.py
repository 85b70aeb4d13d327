"""Memory that runs out in a step: it is done again in smaller chunks, or the message says what to lower."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import pytest
import torch
from torch import Tensor

from hybrid_retrieval.errors import RunFailedError, UserError
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.out_of_memory import OutOfMemoryError, is_out_of_memory, out_of_memory_explained
from hybrid_retrieval.models.token_batch import TokenBatch
from hybrid_retrieval.training.step_seed import StepSeed
from tests.conftest import Command
from tests.losses import dual_encoder_parts
from tests.own_data import own_data_overrides
from tests.processes import BARE_TRAINER

CUDA = (
    "CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity of 79.10 GiB of which "
    "1.20 GiB is free."
)
BUDGET = 64  # of `dual_encoder_parts`


class FullMemory:
    """Memory that is out when a chunk of more than so many tokens is encoded, from a given call on.

    Args:
        tokens: padding included.
        calls: that find room whatever they take: those before the backward pass, say.
        step: at which it happens.
    """

    def __init__(self, tokens: int, calls: int = 0, step: int = 1) -> None:
        self.tokens, self.calls, self.step = tokens, calls, step
        self.failed = 0

    def on(self, model: DualEncoder) -> None:
        """Put it into the encoder of a model."""

        def check(_: Any, arguments: tuple[TokenBatch, ...]) -> None:
            (chunk,) = arguments
            if not model.training or model.trainer.global_step != self.step:
                return
            self.calls -= 1
            if self.calls < 0 and max(chunk.lengths) * len(chunk) > self.tokens:
                self.failed += 1
                raise torch.OutOfMemoryError(CUDA)

        model.encoder.register_forward_pre_hook(check)


class SmallerFrom(pl.Callback):
    """Sets the limit from a step on, as if memory had run out there."""

    def __init__(self, step: int, limit: int) -> None:
        self.step, self.limit = step, limit

    def on_train_batch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *_: Any) -> None:
        if trainer.global_step == self.step:
            pl_module.chunk_limit = self.limit  # type: ignore[assignment]


def train(
    model: DualEncoder, folder: Path, *callbacks: pl.Callback, steps: int = 3, **options: Any
) -> pl.Trainer:
    trainer = pl.Trainer(
        **BARE_TRAINER | options, max_steps=steps, limit_val_batches=0, callbacks=[StepSeed(7), *callbacks]
    )
    trainer.fit(model, datamodule=dual_encoder_parts.data_module(folder))
    return trainer


def trained(
    folder: Path, *callbacks: pl.Callback, full: FullMemory | None = None, **options: Any
) -> DualEncoder:
    torch.manual_seed(1)
    model = dual_encoder_parts.dual_encoder(folder, **{"grad_cache": True, **options})
    if full is not None:
        full.on(model)
    train(model, folder, *callbacks)
    return model


def weights(model: DualEncoder) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def longest(folder: Path) -> int:
    """Tokens of the longest text of step 1: what a chunk of one text takes at most."""
    batch = dual_encoder_parts.collator(folder, terms=True)(dual_encoder_parts.plan(folder)[1])
    texts = (batch.queries, batch.passages, *batch.extra.values())
    found = max(max(each.sequences.lengths) for each in texts)
    assert found < BUDGET, "so that the largest chunk has several texts"
    return found


def start(folder: Path) -> dict[str, Tensor]:
    torch.manual_seed(1)
    return weights(dual_encoder_parts.dual_encoder(folder, grad_cache=True))


@pytest.fixture(autouse=True)
def _nothing_left_of_the_test_before() -> None:
    """As `train` begins: in torch 2.6 what failed in a checkpointed function stays until it is collected."""
    gc.collect()


@pytest.fixture(scope="module")
def in_smaller_chunks(prepared: Path) -> Callable[[int, dict[str, Any]], dict[str, Tensor]]:
    """The weights of a run with chunks of at most so many tokens from step 1 on, trained once."""
    known: dict[str, dict[str, Tensor]] = {}

    def weights_of(limit: int, options: dict[str, Any]) -> dict[str, Tensor]:
        key = f"{limit} {options}"
        if key not in known:
            known[key] = weights(trained(prepared, SmallerFrom(1, limit), **options))
        return known[key]

    return weights_of


@pytest.mark.parametrize("calls", [0, 3, 7], ids=["forward", "later in forward", "backward"])
@pytest.mark.parametrize("options", [{}, {"dropout": 0.2}], ids=["plain", "drop-out"])
def test_result_is_that_of_smaller_chunks(
    prepared: Path,
    caplog: pytest.LogCaptureFixture,
    in_smaller_chunks: Callable[[int, dict[str, Any]], dict[str, Tensor]],
    options: dict[str, Any],
    calls: int,
) -> None:
    """Bit for bit that of smaller chunks from this step on, with masks of drop-out and the temperature."""
    limit = longest(prepared)
    full = FullMemory(limit, calls)
    found = trained(prepared, full=full, **options)
    assert full.failed >= 1
    assert found.chunk_limit is not None
    expected = in_smaller_chunks(found.chunk_limit, options)

    torch.testing.assert_close(weights(found), expected, atol=0, rtol=0)
    warned = [each for each in caplog.messages if each.startswith("out of memory (CUDA out of memory")]
    assert len(warned) == full.failed
    assert f"at most {found.chunk_limit} tokens" in warned[-1]
    assert "at step 1" in warned[-1]


def test_result_does_not_change(prepared: Path) -> None:
    """Without drop-out it is that of a run whose memory did, but for rounding."""
    found = weights(trained(prepared, full=FullMemory(longest(prepared), 5)))
    expected = weights(trained(prepared))
    assert dual_encoder_parts.distance(found, expected, start(prepared)) < 1e-3
    assert any(not torch.equal(found[name], value) for name, value in expected.items()), "no other chunks"


def test_smaller_chunks_stay_when_the_run_goes_on(prepared: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    model = dual_encoder_parts.dual_encoder(prepared, grad_cache=True)
    FullMemory(longest(prepared)).on(model)
    train(model, prepared, steps=2).save_checkpoint(tmp_path / "last.ckpt")

    other = dual_encoder_parts.dual_encoder(prepared, grad_cache=True)
    other.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    assert other.chunk_limit == model.chunk_limit is not None


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"grad_cache": False}, "loss.grad_cache=true, which gives the same result"),
        ({"halve_chunk": False}, "data.token_budget="),
        ({"tokens": 0}, "gradient_checkpointing=true; data.max_passage_length, or global_batch_size"),
    ],
    ids=["no GradCache", "switched off", "no chunk is small enough"],
)
def test_message_names_the_batch_and_what_to_lower(
    prepared: Path, options: dict[str, Any], says: str
) -> None:
    torch.manual_seed(1)
    model = dual_encoder_parts.dual_encoder(prepared, grad_cache=options.get("grad_cache", True))
    model.halve_chunk = options.get("halve_chunk", True)
    full = FullMemory(options.get("tokens", longest(prepared)))
    full.on(model)
    with pytest.raises(OutOfMemoryError) as stopped:
        train(model, prepared)

    message = str(stopped.value)
    batch = dual_encoder_parts.collator(prepared)(dual_encoder_parts.plan(prepared)[1])
    kind = "monolingual" if batch.monolingual else "cross-lingual"
    most = [max(texts.sequences.lengths) for texts in (batch.queries, batch.passages)]
    for words in (
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "at step 1",
        f"its {kind} batch has 8 queries of up to {most[0]} tokens and 24 passages of up to {most[1]}",
        says,
        "resume=true",
    ):
        assert words in message
    if "tokens" in options:
        assert full.failed > 1
        assert "data.token_budget" not in message


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError(CUDA), True),
        (RuntimeError("[alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory"), True),
        (RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"), True),
        (RuntimeError("std::bad_alloc"), True),
        (MemoryError(), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("out of memory"), False),
        (UserError("training needs 3 GB of memory"), False),
    ],
)  # fmt: skip
def test_what_counts(error: Exception, expected: bool) -> None:
    assert is_out_of_memory(error) == expected


@pytest.mark.parametrize("library", ["torch", "numpy"])
def test_real_allocations_that_fail(library: str) -> None:
    def allocate() -> None:
        with out_of_memory_explained("while testing: lower data.token_budget"):
            torch.ones(2**46) if library == "torch" else np.ones(2**46)

    with pytest.raises(
        RunFailedError, match=r"^out of memory \(.*\) while testing: lower data.token_budget\. "
    ):
        allocate()


def test_command_line_ends_with_one_message(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Evaluation included, and what was trained is kept."""
    line = ["train", *own_data_overrides(own_data), f"hydra.run.dir={tmp_path}", "resume=auto"]
    calls: list[int] = []
    forward = TextEncoder.forward

    def full(encoder: TextEncoder, *arguments: Any) -> Tensor:
        calls.append(1)
        if not encoder.training and (tmp_path / "model").exists():
            raise torch.OutOfMemoryError(CUDA)
        return forward(encoder, *arguments)

    with monkeypatch.context() as patched:
        patched.setattr(TextEncoder, "forward", full)
        outcome = command(*line)
    assert outcome.status == 1
    (error,) = [each for each in outcome.err.splitlines() if each.startswith("error: ")]
    assert error.startswith("error: out of memory (CUDA out of memory.")
    assert "data.token_budget" in error
    assert "Traceback" not in outcome.err
    assert command(*line).status == 0
