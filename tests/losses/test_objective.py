"""How terms are composed, on one process and on two."""

import dataclasses
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.pair_ids import PairIds
from hybrid_retrieval.losses.terms.registry import TERMS, ExtraInputs
from tests.losses.terms import two_processes
from tests.losses.terms.plain_info_nce import plain_info_nce
from tests.losses.terms.pushes import unit

Gradients = dict[str, Tensor]


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Gradients]]:
    """By rank, then by the name of the objective."""
    out = tmp_path_factory.mktemp("two")
    done = subprocess.run(
        [sys.executable, "-m", "tests.losses.terms.two_processes", str(out)],
        cwd=Path(__file__).parents[2],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return [torch.load(out / f"{rank}.pt", weights_only=True) for rank in range(two_processes.RANKS)]


def batch() -> tuple[tuple[Tensor, Tensor, PairIds], ExtraInputs]:
    ids = torch.tensor([0, 1, 2, 3, 9, -1, 0, 8])
    inputs = unit(4, seed=1), unit(8, seed=2), PairIds(torch.tensor([6, 7, 6, 5]), ids)
    extra = ExtraInputs(
        torch.tensor([0, 0, 1, 1]),
        torch.tensor([0, 1, 1, 1, 0, 0, 1, 1]),
        unit(4, seed=3),
        unit(8, seed=4),
        *(unit(4, seed=seed) for seed in (5, 6, 7, 8)),
    )
    return inputs, extra


def prepared(weights: dict[str, float], options: dict[str, Any] | None = None) -> Objective:
    """With InfoNCE at 0.1, and the parameters that its terms have."""
    objective = Objective(InfoNCE(0.1), weights, options)
    objective.prepare(dimension=16, languages=2, training_instances=1000, seed=3)
    return objective


def loss_and_gradients(loss: torch.nn.Module, *extra: ExtraInputs) -> list[Tensor]:
    inputs, _ = batch()
    leaves = [inputs[0].requires_grad_(), inputs[1].requires_grad_()]
    value = loss(*leaves, inputs[2], *extra)
    value.backward()
    return [value.detach(), *(leaf.grad for leaf in leaves if leaf.grad is not None)]


@pytest.mark.parametrize("name", TERMS)
def test_weight_zero_changes_nothing_to_the_bit_and_needs_nothing(name: str) -> None:
    expected = loss_and_gradients(InfoNCE(0.1))
    torch.manual_seed(0)
    state = torch.get_rng_state()
    objective = prepared({name: 0})

    assert objective.needs == ()
    assert not objective.head_groups()
    assert set(objective.state_dict()) == set(Objective(InfoNCE(0.1)).state_dict())
    assert torch.equal(torch.get_rng_state(), state)
    found = loss_and_gradients(objective)
    assert len(found) == 3
    assert all(torch.equal(x, y) for x, y in zip(found, expected, strict=True))
    assert objective.values == {}


@pytest.mark.parametrize("name", TERMS)
def test_each_term_adds_its_weighted_value(name: str) -> None:
    inputs, extra = batch()
    objective = prepared({name: 0.3})

    loss = objective(*inputs, extra)

    assert set(objective.values) == {"info_nce", name}
    assert float(objective.values[name]) > 0.01
    torch.testing.assert_close(loss, objective.values["info_nce"] + 0.3 * objective.values[name])
    torch.testing.assert_close(objective.values["info_nce"], InfoNCE(0.1)(*inputs))


def test_terms_are_composed_by_addition() -> None:
    inputs, extra = batch()
    weights = {name: 0.1 * (1 + i) for i, name in enumerate(TERMS)}
    together = prepared(weights)

    loss = together(*inputs, extra)

    alone = InfoNCE(0.1)(*inputs)
    added = [prepared({name: weight})(*inputs, extra) - alone for name, weight in weights.items()]
    torch.testing.assert_close(loss, alone + torch.stack(added).sum())
    assert together.needs == tuple(field.name for field in dataclasses.fields(ExtraInputs))


@pytest.mark.parametrize("name", TERMS)
def test_padding_takes_no_part_in_terms(name: str) -> None:
    """Whatever stands in the padded row."""
    inputs, extra = batch()
    objective = prepared({name: 1})
    expected = objective(*inputs, extra)

    padded = int((inputs[2].passage == -1).nonzero())
    assert extra.teacher_passages is not None
    assert extra.passage_languages is not None
    for rows in (inputs[1], extra.teacher_passages):
        rows[padded] = unit(1, rows.shape[1], seed=99)[0]
    extra.passage_languages[padded] = 5

    assert torch.equal(objective(*inputs, extra), expected)


def test_options_reach_the_terms() -> None:
    inputs, extra = batch()
    for name, options in (
        ("variance", {"instances": 3}),
        ("distillation", {"temperature": 1.0}),
        ("teacher_alignment", {"temperature": 1.0}),
        ("query_alignment", {"temperature": 1.0}),
        ("passage_alignment", {"temperature": 1.0}),
        ("score_agreement", {"temperature": 1.0}),
        ("language_adversary", {"hidden": 0}),
        ("salient_view", {"temperature": 1.0}),
        ("salient_view", {"independence": 0.0}),
    ):
        default, other = prepared({name: 1}), prepared({name: 1}, {name: options})
        assert abs((default(*inputs, extra) - other(*inputs, extra)).item()) > 1e-3


def test_variance_takes_the_size_of_the_training_set_unless_told() -> None:
    inputs, _ = batch()
    known, told = (Objective(InfoNCE(), {"variance": 1}, {"variance": o}) for o in ({}, {"instances": 3}))
    limit = float(known(*inputs))
    known.training_instances = 3

    assert float(known(*inputs)) == float(told(*inputs)) != limit


def test_from_config_and_what_a_dual_encoder_reads() -> None:
    config = {
        "temperature": 0.1,
        "learn_temperature": True,
        "within_view": True,
        "terms": {"variance": 0.5, "distillation": 0},
        "term_options": {"variance": {"instances": None}, "distillation": None},
    }
    objective = Objective.from_config(config)

    assert objective.weights == {"variance": 0.5}
    assert objective.learn_temperature
    assert objective.temperature.item() == pytest.approx(0.1)
    assert objective.info_nce.within_view
    assert Objective.from_config({"temperature": 0.1}).weights == {}
    assert "terms" in config


def test_missing_inputs_are_refused() -> None:
    inputs, extra = batch()
    objective = Objective(InfoNCE(), {"score_agreement": 0.2, "variance": 1})

    assert objective.needs == ("parallel_queries",)
    with pytest.raises(ValueError, match="parallel_queries is missing"):
        objective(*inputs, dataclasses.replace(extra, parallel_queries=None))
    with pytest.raises(ValueError, match="prepare"):
        Objective(InfoNCE(), {"language_adversary": 1})(*inputs, extra)


def test_remainders_are_needed_only_with_independence() -> None:
    assert prepared({"salient_view": 1}).needs == ("salient_passages", "passage_remainders")
    without = prepared({"salient_view": 1}, {"salient_view": {"independence": 0}})
    assert without.needs == ("salient_passages",)
    assert without.option("salient_view", "keep") == 0.8


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if term.across_languages])
def test_terms_that_compare_languages_need_two(name: str) -> None:
    objective = Objective(InfoNCE(), {name: 0.2})
    objective.check_languages(2)
    Objective(InfoNCE(), {name: 0}).check_languages(1)
    with pytest.raises(UserError, match=rf"loss\.terms\.{name}=0\.2 compares languages"):
        objective.check_languages(1)


@pytest.mark.parametrize(
    ("weights", "options", "message"),
    [
        ({"contrast": 1}, {}, r"loss\.terms\.contrast is unknown; known terms: variance"),
        ({"variance": -1}, {}, r"loss\.terms\.variance=-1"),
        ({"variance": True}, {}, r"loss\.terms\.variance=True"),
        ({"variance": "much"}, {}, r"loss\.terms\.variance=much"),
        ({}, {"contrast": {}}, r"loss\.term_options\.contrast is unknown"),
        ({}, {"variance": {"n": 3}}, r"loss\.term_options\.variance\.n is unknown; known: instances"),
        ({}, {"language_centring": {"n": 3}}, "known: no options"),
        ({}, {"variance": {"instances": 1}}, "must be a whole number of at least 2"),
        ({}, {"distillation": {"temperature": 0}}, "must be a positive number"),
        ({}, {"distillation": {"temperature": None}}, "must be a positive number"),
        ({}, {"teacher_alignment": {"temperature": -1}}, "must be a positive number"),
        ({}, {"language_adversary": {"hidden": 1.5}}, "must be a whole number of at least 0"),
        ({}, {"language_adversary": {"reversal": -1}}, "must be a number of at least 0"),
        ({}, {"language_adversary": {"learning_rate": 0}}, "must be a positive number"),
        ({}, {"salient_view": {"keep": 0}}, "must be a share of the tokens"),
        ({}, {"salient_view": {"keep": 1.5}}, "must be a share of the tokens"),
        ({}, {"salient_view": {"share": 1}}, "known: temperature, independence, keep"),
    ],
)
def test_bad_configuration(weights: dict[str, Any], options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Objective(InfoNCE(), weights, options)


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("name", two_processes.INFO_NCE)
def test_gradient_of_info_nce_on_two_processes(
    of_two_processes: list[dict[str, Gradients]], name: str, local: bool
) -> None:
    expected = two_processes.gradients(two_processes.make(name))

    found = [ranks[f"{name}-{local}-True"] for ranks in of_two_processes]
    for parameter in ("tower.weight", "tower.bias", "objective.info_nce.log_scale"):
        for ranks in found:
            torch.testing.assert_close(ranks[parameter], expected[parameter], rtol=1e-5, atol=1e-8)
    mean = torch.stack([ranks["loss"] for ranks in found]).mean()
    torch.testing.assert_close(mean, expected["loss"])


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("name", two_processes.INFO_NCE)
def test_embeddings_of_other_ranks_are_constants_without_gather_with_grad(
    of_two_processes: list[dict[str, Gradients]], name: str, local: bool
) -> None:
    """Against plain loops over the whole batch, in which one rank's embeddings at a time have a gradient."""
    found = of_two_processes[0][f"{name}-{local}-False"]["tower.weight"]
    pairs, ranks = two_processes.PAIRS, two_processes.RANKS
    share = pairs // ranks
    model = two_processes.make(name)
    shares = [two_processes.share(rank, ranks) for rank in range(ranks)]
    ids = torch.cat([s["passage_ids"] for s in shares]).tolist()
    width = len(shares[0]["passage_ids"])
    for rank in range(ranks):
        sides = []
        for side in ("queries", "passages"):
            embedded = [model.embed(s[side]) for s in shares]
            sides.append(torch.cat([e if r == rank else e.detach() for r, e in enumerate(embedded)]))
        loss = plain_info_nce(
            sides[0],
            sides[1],
            [width * (i // share) + i % share for i in range(pairs)],
            ids,
            two_processes.QUERY_IDS,
            rows=range(rank * share, (rank + 1) * share) if local else None,
            temperature=two_processes.TEMPERATURE,
            **two_processes.INFO_NCE[name],
        )
        torch.autograd.backward(loss / ranks)

    torch.testing.assert_close(found, model.tower.weight.grad, rtol=1e-5, atol=1e-8)
    with_grad = of_two_processes[0][f"{name}-{local}-True"]["tower.weight"]
    assert float((found - with_grad).norm() / with_grad.norm()) > 0.01


@pytest.mark.parametrize("name", two_processes.WEIGHTS)
def test_gradient_and_value_of_terms_on_two_processes(
    of_two_processes: list[dict[str, Gradients]], name: str
) -> None:
    expected = two_processes.gradients(two_processes.make(terms=name))
    without = two_processes.gradients(two_processes.make())

    for ranks in of_two_processes:
        for key, value in ranks[name].items():
            if key not in ("loss", "value/info_nce"):  # of a rank's own rows
                torch.testing.assert_close(value, expected[key], rtol=1e-5, atol=1e-8, msg=key)
    assert float((expected["tower.weight"] - without["tower.weight"]).norm()) > 1e-3
