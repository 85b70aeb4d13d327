"""A loss or gradient that is not finite stops training: old weights are kept, the batch is saved."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hybrid_retrieval.models.dual_encoder import DualEncoder
from hybrid_retrieval.training.assemble import Parts
from hybrid_retrieval.training.finite_guard import BAD_BATCH_FILE, NotFiniteError
from tests.conftest import Command
from tests.losses import dual_encoder_parts
from tests.own_data import own_data_overrides
from tests.processes import run_module
from tests.training.guarded import (
    BAD,
    RANKS,
    STEPS,
    BadGradient,
    BadLoss,
    LastWeights,
    parts_of,
    train,
)


@pytest.fixture(scope="module")
def good(prepared: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Tensor]]:
    """The weights after every step of a run without a fault."""
    out, steps = tmp_path_factory.mktemp("good"), LastWeights()
    trainer = train(parts_of(prepared, fused=True), out, [steps])
    assert trainer.global_step == STEPS
    assert not list(out.iterdir())
    norm = float(trainer.callback_metrics["train/gradient_norm"])
    assert math.isfinite(norm)
    assert norm > 0
    return steps.after


def saved(folder: Path) -> dict[str, Any]:
    assert [path.name for path in folder.iterdir()] == [BAD_BATCH_FILE]
    content: dict[str, Any] = json.loads((folder / BAD_BATCH_FILE).read_text(encoding="utf-8"))
    return content


def weights(parts: Parts) -> dict[str, Tensor]:
    return {name: p.detach() for name, p in parts.model.named_parameters()}


def check_pairs(parts: Parts, content: dict[str, Any], step: int) -> None:
    """The file names the pairs of the plan's batch, in its order, as the corpus has them."""
    batch, corpus, languages = parts.plan[step], parts.train[0], parts.plan.languages
    assert content["step"] == step
    assert content["kind"] == batch.kind
    assert [pair["triple"] for pair in content["pairs"]] == batch.triples.tolist()
    rows = {code: {(row.id, row.passage_id): row for row in corpus.rows(code)} for code in languages}
    for pair, query, passage in zip(
        content["pairs"], batch.query_languages, batch.passage_languages, strict=True
    ):
        assert (pair["query_language"], pair["passage_language"]) == (languages[query], languages[passage])
        row, other = (rows[languages[i]][pair["id"], pair["passage_id"]] for i in (query, passage))
        assert pair["question"] == row.question
        assert pair["passage"] == other.passage
        assert pair["hard_negatives"] == list(row.negatives)[: dual_encoder_parts.HARD_NEGATIVES]


@pytest.mark.parametrize("deferred", [False, True], ids=["at once", "one step later"])
@pytest.mark.parametrize("fault", ["loss", "gradient"])
def test_stops_before_the_weights_change(
    prepared: Path, good: list[dict[str, Tensor]], tmp_path: Path, fault: str, deferred: bool
) -> None:
    """Judged a step late, with the optimiser told to skip, the weights are the same as judged at once."""
    parts = parts_of(prepared, BadLoss if fault == "loss" else DualEncoder, fused=True)
    steps = LastWeights()
    callbacks = [steps] if fault == "loss" else [BadGradient(BAD), steps]
    with pytest.raises(NotFiniteError, match=f"stopped at step {BAD}: .*{BAD_BATCH_FILE}"):
        train(parts, tmp_path, callbacks, deferred=deferred)

    assert len(steps.after) == BAD + deferred
    torch.testing.assert_close(weights(parts), good[BAD - 1], atol=0, rtol=0)
    assert any(not torch.equal(weights(parts)[name], value) for name, value in good[BAD].items())
    content = saved(tmp_path)
    check_pairs(parts, content, BAD)
    assert (content["loss"] == "nan") == (fault == "loss")
    assert (content["gradient_norm"] == "inf") == (fault == "gradient")
    assert all(pair["query_is_finite"] and pair["passage_is_finite"] for pair in content["pairs"])


def test_fault_of_the_last_step_is_seen(prepared: Path, tmp_path: Path) -> None:
    parts = parts_of(prepared, BadLoss, fused=True)
    with pytest.raises(NotFiniteError, match=f"step {BAD}"):
        train(parts, tmp_path, deferred=True, max_steps=BAD + 1)


def test_losses_of_the_pairs_are_those_of_the_batch(prepared: Path, tmp_path: Path) -> None:
    """Their mean is the loss of the step, without drop-out; the gradient alone is at fault."""
    parts = parts_of(prepared)
    with pytest.raises(NotFiniteError):
        train(parts, tmp_path, [BadGradient(BAD)])

    content = saved(tmp_path)
    losses = [pair["loss"] for pair in content["pairs"]]
    assert sum(losses) / len(losses) == pytest.approx(float(content["loss"]), abs=1e-5)


def test_texts_without_finite_embedding_are_marked(prepared: Path, tmp_path: Path) -> None:
    """A token whose embedding is not a number; only the texts that have it are at fault."""
    parts = parts_of(prepared)
    corpus, plan = parts.train[0], parts.plan
    word = parts.data.tokenizer(["island"], "passage")[0][2]
    with torch.no_grad():
        parts.model.encoder.transformer.get_input_embeddings().weight[word] = torch.nan  # type: ignore[operator]
    with pytest.raises(NotFiniteError):
        train(parts, tmp_path)

    content = saved(tmp_path)
    step = content["step"]
    collated = parts.data.collator(plan[step])
    for name, texts in (("query_is_finite", collated.queries), ("passage_is_finite", collated.passages)):
        sequences = texts.sequences
        has = [bool((sequences[i : i + 1].tokens == word).any()) for i in range(len(sequences))]
        expected = [not has[i] for i in texts.order.tolist()[: len(plan[step])]]
        assert [pair[name] for pair in content["pairs"]] == expected
        assert not all(expected)
    assert corpus.name == content["pairs"][0]["dataset"]
    assert all(pair["loss"] is None for pair in content["pairs"] if not pair["query_is_finite"])


def test_two_processes_stop_together(prepared: Path, good: list[dict[str, Tensor]], tmp_path: Path) -> None:
    """Only one has a bad loss; neither waits for the other, and both keep the weights of the step before."""
    run_module("tests.training.guarded", prepared, tmp_path, timeout=120)

    for rank in range(RANKS):
        found = torch.load(tmp_path / f"stopped-{rank}.pt", weights_only=True)
        assert f"stopped at step {BAD}" in found["message"]
        start = weights(parts_of(prepared))
        assert dual_encoder_parts.distance(found["weights"], good[BAD - 1], start) < 1e-3
        assert dual_encoder_parts.distance(found["weights"], good[BAD], start) > 0.1
    content = json.loads((tmp_path / BAD_BATCH_FILE).read_text(encoding="utf-8"))
    check_pairs(parts_of(prepared), content, BAD)
    assert len(content["pairs"]) == dual_encoder_parts.BATCH


def test_command_line_ends_with_one_message(command: Command, own_data: Path, tmp_path: Path) -> None:
    """A learning rate beyond all reason."""
    options = ["optim.lr=1e30", "optim.warmup=0", "evaluate=false", f"hydra.run.dir={tmp_path}"]
    outcome = command("train", *own_data_overrides(own_data), *options)

    assert outcome.status == 1
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "optim.lr" in errors[0]
    assert str(tmp_path / BAD_BATCH_FILE) in errors[0]
    assert "Traceback" not in outcome.err
    assert (tmp_path / BAD_BATCH_FILE).is_file()
    assert not (tmp_path / "model").exists()
    assert "has not finished" in (tmp_path / "summary.md").read_text(encoding="utf-8")
