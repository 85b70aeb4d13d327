"""The estimate of memory against all tensors of a training step, and what is said when it does not fit."""

import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch.nn import functional

from hybrid_retrieval.data.collate import EncodedTexts, TrainBatch
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.pair_ids import PairIds
from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.layers import recompute_layers
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.training.activations import (
    ActivationCost,
    ChunkSize,
    chunk_sizes,
    measure_activations,
)
from hybrid_retrieval.training.memory import Advice, MemoryNeed, check_memory
from hybrid_retrieval.training.memory_of_run import score_bytes
from tests.conftest import Command
from tests.losses.peak_memory import PeakMemory
from tests.own_data import own_data_overrides

GB = 1e9
ADVICE = Advice(global_batch_size=64, token_budget=2048)


def model_of(cache: Path, *, grad_cache: bool = False, checkpointed: bool = False) -> DualEncoder:
    encoder = TextEncoder.from_folder(prepare_tiny(cache), name="tiny")
    if checkpointed:
        recompute_layers(encoder.transformer)
    # The gradient of the table is apart: it does not depend on the texts.
    encoder.transformer.get_input_embeddings().weight.requires_grad_(False)  # type: ignore[operator]
    loss = Objective(InfoNCE())
    return DualEncoder(encoder, loss, torch.optim.AdamW, total_steps=10, grad_cache=grad_cache)


def batch_of(pairs: int) -> TrainBatch:
    """Queries of 8 to 12 tokens and passages of 20 to 140, in chunks of 512 tokens."""
    generator = torch.Generator().manual_seed(1)
    draws = torch.rand(2, pairs, generator=generator)
    queries, passages = (
        EncodedTexts.of([list(range(5, 5 + n)) for n in lengths.int().tolist()], 512)
        for lengths in (8 + 4 * draws[0], 20 + 120 * draws[1] ** 3)
    )
    ids, zeros = torch.arange(pairs), torch.zeros(pairs, dtype=torch.int64)
    return TrainBatch(queries, passages, PairIds(ids, ids), 1, 0, zeros, zeros)


def need_of(model: DualEncoder, *batches: TrainBatch) -> MemoryNeed:
    encoder = model.encoder
    kept, full = measure_activations(encoder, torch.arange(5, 40))
    trained = sum(4 * p.numel() for p in model.parameters() if p.requires_grad)
    pairs = len(batches[0].queries)
    return MemoryNeed(
        base=0.0,
        trained=trained,
        table=0.0,
        kept=kept,
        full=full,
        layers=2,
        batches=[chunk_sizes(batch, encoder) for batch in batches],
        scores=score_bytes(model.loss, pairs, pairs, 1),
        embedding_numbers=2.0 * pairs * encoder.dimension,
        grad_cache=model.grad_cache,
        checkpointed=kept is not full,
    )


def tensors_of_step(model: DualEncoder, batch: TrainBatch) -> int:
    """Bytes of all tensors that a step makes and holds at one time."""
    model.log = lambda *args, **options: None  # type: ignore[method-assign]
    with PeakMemory() as memory:
        model.training_step(batch, 0).backward()  # type: ignore[no-untyped-call]
    return int(memory.peak)


@pytest.mark.parametrize("checkpointed", [False, True], ids=["", "gradient_checkpointing"])
@pytest.mark.parametrize("grad_cache", [False, True], ids=["", "grad_cache"])
def test_estimate_is_that_of_all_tensors(command_cache: Path, grad_cache: bool, checkpointed: bool) -> None:
    """Never a tenth below; above, as gradients are made while activations go, and layers are two only."""
    model, batch = model_of(command_cache, grad_cache=grad_cache, checkpointed=checkpointed), batch_of(64)
    need = need_of(model, batch)
    estimated = need.parts()["activations"] + need.parts()["scores"] + need.parts()["gradients"]

    assert 0.9 < estimated / tensors_of_step(model, batch) < 1.7


def test_grows_with_the_batch_only_without_grad_cache(command_cache: Path) -> None:
    small, large = batch_of(16), batch_of(64)
    plain, cached = (model_of(command_cache, grad_cache=on) for on in (False, True))

    assert need_of(plain, large).activations() > 3 * need_of(plain, small).activations()
    assert need_of(cached, large).activations() < 1.1 * need_of(cached, small).activations()
    assert need_of(cached, large).activations() < 0.3 * need_of(plain, large).activations()


def test_the_largest_step_counts(command_cache: Path) -> None:
    model = model_of(command_cache)
    batches = [batch_of(4), batch_of(32), batch_of(8)]

    assert need_of(model, *batches).activations() == need_of(model, batches[1]).activations()


def test_measuring_leaves_the_model_and_the_random_state_alone(command_cache: Path) -> None:
    encoder = TextEncoder.from_folder(prepare_tiny(command_cache), name="tiny", dropout=0.1).train()
    recompute_layers(encoder.transformer)
    layers = {name: vars(m)["forward"] for name, m in encoder.named_modules() if "forward" in vars(m)}
    assert len(layers) == 2
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    kept, full = measure_activations(encoder, torch.arange(5, 40))

    assert torch.equal(torch.rand(2), expected)
    assert all(p.grad is None for p in encoder.parameters())
    assert {name: vars(m)["forward"] for name, m in encoder.named_modules() if "forward" in vars(m)} == layers
    assert kept.per_token < 0.5 * full.per_token


def test_autocast_keeps_16_bit_copies_of_the_weights(command_cache: Path) -> None:
    """One for each chunk, as Lightning's autocast has no cache."""
    encoder = TextEncoder.from_folder(prepare_tiny(command_cache), name="tiny").train()
    matrices = sum(m.weight.numel() for m in encoder.modules() if isinstance(m, torch.nn.Linear))
    kept, _ = measure_activations(
        encoder, torch.arange(5, 40), lambda: torch.autocast("cpu", torch.bfloat16, cache_enabled=False)
    )

    assert kept.per_chunk == pytest.approx(2 * matrices, rel=0.05)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"reverse": 1.0},
        {"within_view": True},
        {"reverse": 1.0, "within_view": True},
        {"dimensions": [32, 16, 8]},
    ],
    ids=str,
)
@pytest.mark.parametrize("negatives", [0, 2])
def test_scores_are_those_of_all_tensors(options: dict[str, object], negatives: int) -> None:
    pairs = 512
    loss = Objective(InfoNCE(**options))  # type: ignore[arg-type]
    queries = functional.normalize(torch.rand(pairs, 32), dim=1).requires_grad_()
    passages = functional.normalize(torch.rand(pairs * (1 + negatives), 32), dim=1).requires_grad_()
    ids = torch.arange(len(passages))
    with PeakMemory() as memory:
        loss(queries, passages, PairIds(ids[:pairs], ids)).backward()

    assert 0.85 < score_bytes(loss, pairs, len(passages), 1) / memory.peak < 1.15


def example(**changes: object) -> MemoryNeed:
    """1 GB taken, 1 GB of weights to train, and a batch of 8 GB activations in 8 chunks."""
    cost = ActivationCost(0.0, GB / 1000, 0.0)
    chunks = [ChunkSize(1000, 0)] * 8
    need = MemoryNeed(*(GB, GB, 0.0, cost, cost, 10), batches=[chunks], scores=0.0, embedding_numbers=0.0)
    return replace(need, **changes)  # type: ignore[arg-type]


def test_parts_by_hand() -> None:
    need = example()

    assert need.parts() == pytest.approx(
        {"gradients": GB, "AdamW's moments": 2 * GB, "activations": 8.1 * GB, "scores": 0}
    )
    assert need.total() == pytest.approx(12.1 * GB)
    assert example(grad_cache=True).extra() == pytest.approx(4.1 * GB)
    assert example(table=GB / 2).extra() == pytest.approx(12.1 * GB)
    assert example(processes=2).total() == pytest.approx(2 * 12.1 * GB)
    assert example(buckets=True).extra() == pytest.approx(12.1 * GB)
    assert example(shards=2).extra() == pytest.approx(9.6 * GB)


def test_enough_memory_says_nothing(caplog: pytest.LogCaptureFixture) -> None:
    check_memory(example(), 13 * GB, "cpu", refuse=True, advice=ADVICE)

    assert not caplog.records


@pytest.mark.parametrize(
    ("available", "refuse"), [(11.5, True), (5.0, False)], ids=["nearly", "switched off"]
)
def test_warns(caplog: pytest.LogCaptureFixture, available: float, refuse: bool) -> None:
    with caplog.at_level(logging.WARNING):
        check_memory(example(), available * GB, "cpu", refuse=refuse, advice=ADVICE)

    assert "training needs about 11.1 GB" in caplog.text


def test_refusal_names_settings_that_would_do() -> None:
    with pytest.raises(UserError) as refused:
        check_memory(example(table=GB / 4), 9 * GB, "cuda:0", refuse=True, advice=ADVICE)

    message = str(refused.value)
    assert "cuda:0 has 9.0 GB left" in message
    assert "loss.grad_cache=true would need about 4.6 GB" in message
    assert "optim.trim_embeddings=true saves up to 1.2 GB" in message
    assert "gradient_checkpointing=true" in message
    assert "check_memory=false" in message
    pairs = int(message.partition("global_batch_size=")[2].split()[0])
    assert 0.6 * 64 < pairs < 0.75 * 64


def test_refusal_of_a_large_chunk_names_the_token_budget() -> None:
    with pytest.raises(UserError, match=r"data\.token_budget=") as refused:
        check_memory(example(grad_cache=True), 3.5 * GB, "cpu", refuse=True, advice=ADVICE)

    assert "grad_cache" not in str(refused.value)


def test_command_line_refuses_before_training(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine with next to nothing left; `check_memory=false` starts all the same."""
    monkeypatch.setattr("hybrid_retrieval.training.memory_of_run.available_memory", lambda device: 2_000_000)
    arguments = [*own_data_overrides(own_data), "evaluate=false", "trainer.max_steps=1"]
    outcome = command("train", *arguments, f"hydra.run.dir={tmp_path / 'one'}")

    assert outcome.status == 2
    assert "loss.grad_cache=true" in outcome.err
    assert not (tmp_path / "one").exists()
    outcome = command("train", *arguments, "check_memory=false", f"hydra.run.dir={tmp_path / 'two'}")
    assert outcome.status == 0, outcome
