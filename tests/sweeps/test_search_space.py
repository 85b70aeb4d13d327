"""The space of a search, from a sweep file and a command line."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.search_settings import SearchSettings
from hybrid_retrieval.sweeps.search_space import Choice, Interval, SearchSpace, as_text, parse_space

NOW = {"sampler.alpha": 0.5, "optim.lr": 2e-5, "global_batch_size": 32, "data.max_query_length": None}
FILE = {"sampler.alpha": {"low": 0, "high": 1}, "optim.lr": {"low": 1e-6, "high": 1e-4, "log": True}}


@pytest.fixture(scope="module")
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        yield GlobalHydra.instance().config_loader()


def parse(loader: ConfigLoader, entries: dict[str, Any], *arguments: str, **params: str) -> SearchSpace:
    def setting(overrides: Sequence[str], name: str) -> Any:
        return NOW.get(name)

    return parse_space(entries, params, arguments, loader, setting)


def test_the_command_line_wins_over_the_file(loader: ConfigLoader) -> None:
    found = parse(
        loader,
        FILE,
        "sampler.alpha=0.25",
        "optim.lr=tag(log,interval(1e-5,1e-3))",
        "global_batch_size=range(8,65,8)",
        "backbone=e5_base,labse",
        sampler="hybrid",
    )
    assert found == SearchSpace(
        (
            Interval("optim.lr", 1e-5, 1e-3, log=True),
            Interval("global_batch_size", 8, 64, step=8, whole=True),
            Choice("backbone", ("e5_base", "labse")),
        ),
        ("sampler=hybrid", "sampler.alpha=0.25"),
    )
    assert parse(loader, FILE, "sampler.alpha=interval(0,1)").dimensions[1] == Interval("sampler.alpha", 0, 1)
    assert [one.name for one in parse(loader, {**FILE, "sampler.alpha": None}).dimensions] == ["optim.lr"]


def test_whole_numbers_are_those_of_the_setting(loader: ConfigLoader) -> None:
    """`low: 0, high: 1` is the interval for alpha, which is 0.5 otherwise, and 8 to 64 are whole batches."""
    alpha, batch = parse(
        loader, {"sampler.alpha": FILE["sampler.alpha"], "global_batch_size": {"low": 8, "high": 64}}
    ).dimensions
    assert isinstance(alpha, Interval)
    assert isinstance(batch, Interval)
    assert (alpha.whole, batch.whole) == (False, True)
    assert [type(value) for value in (*alpha.corners(), *batch.corners())] == [float, float, int, int]


def test_corners_hold_every_bound_and_choice(loader: ConfigLoader) -> None:
    space = parse(loader, {**FILE, "sampler": ["hybrid", "x_y", "x_x"]}, "data=jsonl")
    corners = space.corners()
    assert len(corners) == 1 + 1 + 1 + 2
    assert {corner["sampler"] for corner in corners} == {"hybrid", "x_y", "x_x"}
    assert {corner["optim.lr"] for corner in corners} == {1e-6, 1e-4}
    assert space.overrides(corners[0]) == [
        *("data=jsonl", "sampler.alpha=0.0", "optim.lr=1e-06", "sampler=hybrid")
    ]


@pytest.mark.parametrize(
    "value", [True, None, 3, 1e-6, 0.1 + 0.2, "hybrid", {"variance": 0.1}, ["a b", None, {"c": "it's"}], {}]
)
def test_what_a_choice_says_is_what_hydra_reads(value: Any) -> None:
    [override] = OverridesParser.create().parse_overrides([f"x={as_text(value)}"])
    assert override.value() == value


@pytest.mark.parametrize(
    ("entries", "arguments", "says"),
    [
        ({}, [], "nothing varies"),
        (FILE, ["sampler.alpha=0.5", "optim.lr=1e-5"], "nothing varies"),
        (FILE, ["seed=1,2"], "luckiest"),
        ({"optim.lr": {"low": 1}}, [], "is none of"),
        ({"optim.lr": {"low": 1, "high": 2, "hihg": 3}}, [], "is none of"),
        ({"optim.lr": "1e-6"}, [], "is none of"),
        ({"optim.lr": {"low": "a", "high": 1}}, [], "low=a must be a number"),
        ({"optim.lr": {"low": 2, "high": 1}}, [], "must be below"),
        ({"optim.lr": {"low": 0, "high": 1, "log": True}}, [], "low above 0"),
        ({"optim.lr": {"low": 0, "high": 1, "step": 2}}, [], "step=2"),
        ({"optim.lr": []}, [], "no choices"),
        ({"global_batch_size": {"low": 8, "high": 64.5}}, [], "whole number"),
        ({"data.max_query_length": {"low": 8, "high": 64}}, [], "whole: true"),
    ],
)
def test_a_space_that_makes_no_sense_is_refused(
    loader: ConfigLoader, entries: dict[str, Any], arguments: list[str], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        parse(loader, entries, *arguments)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"trails": 3}, "trails is unknown"),
        ({"trials": 0}, "trials=0"),
        ({"n_jobs": True}, "n_jobs=True"),
        ({"seed": "x"}, "seed=x"),
        ({"sampler": "cmaes"}, "tpe, nsgaii, random"),
    ],
)
def test_settings_are_checked(given: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        SearchSettings.parse(given)
    assert SearchSettings.parse({"trials": 7, "space": {}}) == SearchSettings(trials=7)
