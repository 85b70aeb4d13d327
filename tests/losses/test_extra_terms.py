"""Terms that embed further texts, through a whole training step of a dual encoder."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from hybrid_retrieval.data.collate import TrainBatch
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.terms.registry import EXTRAS, TERMS
from hybrid_retrieval.models.dual_encoder import DualEncoder
from tests.losses import dual_encoder_parts as parts


@pytest.fixture(scope="module")
def batch(prepared: Path) -> TrainBatch:
    return parts.collator(prepared, terms=True)(parts.plan(prepared)[2])


def step(model: DualEncoder, batch: TrainBatch) -> tuple[Tensor, dict[str, Tensor]]:
    torch.manual_seed(3)
    loss = model.training_step(batch, 0)
    loss.backward()  # type: ignore[no-untyped-call]
    return loss.detach(), {n: p.grad for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_grad_cache_has_the_gradient_of_the_plain_batch(
    prepared: Path, batch: TrainBatch, dropout: float
) -> None:
    models = [
        parts.dual_encoder(prepared, terms=True, grad_cache=grad_cache, dropout=dropout)
        for grad_cache in (False, True)
    ]
    assert len(models[0].chunks(batch.extra["parallel_passages"], models[0].encoder)) > 1

    (loss, expected), (cached, found) = (step(model, batch) for model in models)

    assert torch.equal(cached, loss)
    assert expected.keys() == dict(models[0].named_parameters()).keys()
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-5)


def test_weights_of_zero_change_nothing_to_the_bit(prepared: Path, batch: TrainBatch) -> None:
    """And nothing is drawn: the random state ends where it ends without terms."""
    plain = parts.dual_encoder(prepared, dropout=0.1)
    expected = step(plain, parts.collator(prepared)(parts.plan(prepared)[2]))
    state = torch.get_rng_state()
    model = parts.dual_encoder(prepared, dropout=0.1)
    model.loss = Objective(model.loss.info_nce, dict.fromkeys(TERMS, 0.0))
    model.loss.prepare(dimension=64, languages=3, training_instances=36, seed=5)

    loss, gradients = step(model, parts.collator(prepared)(parts.plan(prepared)[2]))

    assert torch.equal(loss, expected[0])
    assert gradients.keys() == expected[1].keys()
    assert all(torch.equal(gradient, expected[1][name]) for name, gradient in gradients.items())
    assert torch.equal(torch.get_rng_state(), state)


def test_every_text_gets_where_it_belongs(prepared: Path, batch: TrainBatch) -> None:
    """What reaches the objective are the embeddings of the texts under their names."""
    model = parts.dual_encoder(prepared, terms=True)
    seen: dict[str, Tensor] = {}
    model.loss.register_forward_pre_hook(
        lambda _, inputs: seen.update({name: getattr(inputs[3], name) for name in EXTRAS})
    )
    model.training_step(batch, 0)

    for name, texts in batch.extra.items():
        assert len(seen[name]) == len(texts)
        torch.testing.assert_close(seen[name], model.embed(texts).detach(), atol=1e-6, rtol=0)
        assert seen[name].requires_grad == (not name.startswith("teacher"))
    assert torch.equal(seen["query_languages"], batch.query_languages)
    assert torch.equal(seen["passage_languages"], batch.passage_languages)
