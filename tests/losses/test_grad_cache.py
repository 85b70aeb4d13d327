"""GradCache has the loss and the gradient of the plain batch, and memory that the batch does not change."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from hybrid_retrieval.data.collate import EncodedTexts, TrainBatch
from hybrid_retrieval.losses.grad_cache import embed_chunks
from hybrid_retrieval.losses.pair_ids import PairIds
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import HIDDEN
from hybrid_retrieval.models.token_batch import TokenBatch
from tests.conftest import Command
from tests.losses import dual_encoder_parts, grad_cache_processes
from tests.losses.grad_cache_processes import DROPOUTS, RANKS, dual_encoder
from tests.losses.peak_memory import PeakMemory
from tests.own_data import own_data_overrides
from tests.processes import run_module

pytestmark = pytest.mark.usefixtures("one_thread")

SEED = 3


@pytest.fixture(scope="module")
def of_two_processes(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("two")
    run_module("tests.losses.grad_cache_processes", prepared, out)
    return out


@pytest.fixture
def batch(prepared: Path) -> TrainBatch:
    """Eight pairs with hard negatives, in several chunks of unequal length."""
    made = dual_encoder_parts.collator(prepared)(dual_encoder_parts.plan(prepared)[0])
    encoder = dual_encoder(prepared, grad_cache=True, dropout=0.0).encoder
    assert len(chunks_of(encoder, made.queries)) > 1
    assert len({chunk.lengths for chunk in chunks_of(encoder, made.passages)}) > 2
    return made


def chunks_of(encoder: TextEncoder, texts: EncodedTexts) -> list[TokenBatch]:
    return [texts.sequences[r] for r in encoder.batches(texts.sequences.lengths, texts.token_budget)]


def autocast(precision: str) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if precision == "bf16" else nullcontext()


def gradients(model: DualEncoder) -> dict[str, Tensor]:
    return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}


def step(model: DualEncoder, batch: TrainBatch, precision: str = "fp32", seed: int = SEED) -> Tensor:
    """Loss of one training step, with the backward pass."""
    torch.manual_seed(seed)
    with autocast(precision):
        loss = model.training_step(batch, 0)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach()


def three_steps(model: DualEncoder, batch: TrainBatch, precision: str) -> Tensor:
    """The algorithm as section 3 of the paper states it, without autograd between its steps."""
    torch.manual_seed(SEED)
    sides = (batch.queries, batch.passages)
    states: list[Tensor] = []
    embeddings: list[Tensor] = []
    for side in sides:
        of_side = []
        for chunk in chunks_of(model.encoder, side):
            states.append(torch.get_rng_state())
            with torch.no_grad(), autocast(precision):
                of_side.append(model.encoder(chunk))
        embeddings.append(torch.cat(of_side).requires_grad_())
    queries, passages = (rows[side.order] for rows, side in zip(embeddings, sides, strict=True))
    with autocast(precision):
        loss: Tensor = model.loss(queries, passages, batch.ids)
    loss.backward()  # type: ignore[no-untyped-call]
    for side, rows in zip(sides, embeddings, strict=True):
        assert rows.grad is not None
        chunks = chunks_of(model.encoder, side)
        parts = torch.split(rows.grad, [len(chunk) for chunk in chunks])
        for chunk, gradient in zip(chunks, parts, strict=True):
            torch.set_rng_state(states.pop(0))
            with autocast(precision):
                again = model.encoder(chunk)
            again.backward(gradient)
    return loss.detach()


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("dropout", DROPOUTS)
def test_loss_and_gradient_equal_those_of_the_plain_batch(
    prepared: Path, batch: TrainBatch, dropout: float, precision: str
) -> None:
    """And those of the paper's three steps; the random state goes on as if there were no second pass."""
    plain, cached, reference = (
        dual_encoder(prepared, grad_cache=on, dropout=dropout) for on in (False, True, False)
    )
    loss = step(plain, batch, precision)
    drawn = torch.rand(4)

    assert torch.equal(step(cached, batch, precision), loss)
    assert torch.equal(torch.rand(4), drawn)
    assert torch.equal(three_steps(reference, batch, precision), loss)
    expected = gradients(plain)
    assert expected.keys() == dict(plain.named_parameters()).keys()
    for model in (cached, reference):
        found = gradients(model)
        if precision == "fp32":
            torch.testing.assert_close(found, expected, atol=1e-7, rtol=1e-5)
        # bf16 rounds each chunk's part to 8 bits; where large parts cancel, one number may be far off.
        difference = torch.cat([(found[name] - expected[name]).flatten() for name in expected])
        assert difference.norm() < 2e-3 * torch.cat([g.flatten() for g in expected.values()]).norm()


def test_the_comparison_can_fail(prepared: Path, batch: TrainBatch) -> None:
    """Another drop-out, as without the random state of the first pass, is another gradient."""
    one, other = (dual_encoder(prepared, grad_cache=True, dropout=0.1) for _ in range(2))
    step(one, batch)
    step(other, batch, seed=SEED + 1)

    difference = torch.cat([(gradients(one)[n] - g).flatten() for n, g in gradients(other).items()])
    assert difference.norm() > 0.01 * torch.cat([g.flatten() for g in gradients(other).values()]).norm()


@pytest.mark.parametrize("dropout", DROPOUTS)
def test_two_processes_have_the_gradient_of_the_plain_batch(
    prepared: Path, of_two_processes: Path, dropout: float
) -> None:
    """Under DDP, which synchronises every bucket of parameters once in both cases."""
    for rank in range(RANKS):
        plain, cached = (
            torch.load(of_two_processes / f"{dropout}-{on}-{rank}.pt", weights_only=True)
            for on in (False, True)
        )
        assert cached["reductions"] == plain["reductions"] > 0
        assert torch.equal(cached["loss"], plain["loss"])
        torch.testing.assert_close(cached, plain, atol=1e-7, rtol=1e-5)
        if dropout == 0:
            whole = grad_cache_processes.gradients(prepared, grad_cache=False, dropout=0.0)
            for name in whole.keys() - {"loss", "reductions"}:
                torch.testing.assert_close(cached[name], whole[name], atol=1e-6, rtol=1e-5, msg=name)


def test_lightning_trains_two_processes_as_one_with_the_plain_batch(
    prepared: Path, of_two_processes: Path, tmp_path: Path
) -> None:
    """With automatic optimisation and clipped gradients."""
    grad_cache_processes.fit(prepared, tmp_path / "fit.pt", grad_cache=False, devices=1)

    one = torch.load(tmp_path / "fit.pt", weights_only=True)
    two = torch.load(of_two_processes / "fit.pt", weights_only=True)
    start = dict(dual_encoder(prepared, grad_cache=False).named_parameters())
    torch.testing.assert_close(two, one, atol=1e-5, rtol=0)
    assert any((one[name] - value).abs().max() > 1e-3 for name, value in start.items())


def full_chunks(count: int, texts: int = 8, tokens: int = 64) -> EncodedTexts:
    generator = torch.Generator().manual_seed(count)
    sequences = torch.randint(5, 3000, (count * texts, tokens), generator=generator).tolist()
    return EncodedTexts.of(sequences, token_budget=texts * tokens)


def peak(folder: Path, *, grad_cache: bool, chunks: int) -> int:
    """Bytes of the tensors that a training step holds at one time."""
    model = dual_encoder(folder, grad_cache=grad_cache, dropout=0.1)
    texts = full_chunks(chunks)
    ids = torch.arange(len(texts))
    with PeakMemory() as memory:
        loss = model.training_step(TrainBatch(texts, texts, PairIds(ids, ids), 1, 0, ids, ids), 0)
        loss.backward()  # type: ignore[no-untyped-call]
    return int(memory.peak)


def test_activations_are_those_of_one_chunk_whatever_the_batch(prepared: Path) -> None:
    plain = {chunks: peak(prepared, grad_cache=False, chunks=chunks) for chunks in (2, 8)}
    cached = {chunks: peak(prepared, grad_cache=True, chunks=chunks) for chunks in (2, 8)}

    activations = (plain[8] - plain[2]) / (2 * 6)  # of a chunk; queries and passages have six more each
    assert activations > 10 * 8 * 64 * HIDDEN * 4  # ten float32 tensors of its tokens at least
    assert cached[2] < plain[2]
    # Six more chunks on both sides: embeddings and scores grow, by less than the activations of half a chunk.
    assert cached[8] - cached[2] < 0.5 * activations


def test_switched_on_from_the_command_line(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`loss.grad_cache=true` trains the same weights, with drop-out."""
    calls = []

    def spy(encoder: TextEncoder, chunks: Sequence[TokenBatch]) -> Tensor:
        calls.append(len(chunks))
        return embed_chunks(encoder, chunks)

    monkeypatch.setattr("hybrid_retrieval.models.dual_encoder.embed_chunks", spy)
    for switch in ("false", "true"):
        options = ["backbone.dropout=0.1", "data.token_budget=100", "evaluate=false"]
        options += [f"loss.grad_cache={switch}", f"hydra.run.dir={tmp_path / switch}"]
        outcome = command("train", *own_data_overrides(own_data), *options)
        assert outcome.status == 0, outcome
        assert (max(calls, default=0) > 1) == (switch == "true")

    plain, cached = (load_file(tmp_path / s / "model" / "model.safetensors") for s in ("false", "true"))
    torch.testing.assert_close(cached, plain, atol=1e-6, rtol=0)
