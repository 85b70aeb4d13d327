"""From a sweep file and a command line to jobs: values, labels, hashes, folders."""

import itertools
from collections.abc import Iterator

import pytest
from hydra import initialize_config_dir
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.data.sets import data_sets
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash, overrides_hash
from hybrid_retrieval.sweeps.grid import Grid
from hybrid_retrieval.sweeps.job import label
from tests.conftest import Command
from tests.refusal import refused


@pytest.fixture
def loader() -> Iterator[ConfigLoader]:
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        yield GlobalHydra.instance().config_loader()


def test_grid_is_the_product_and_the_command_line_wins(loader: ConfigLoader) -> None:
    params = {"sampler": "hybrid", "sampler.alpha": "0.0,0.5", "seed": "1,2,3"}
    grid = Grid.parse(params, ["data=jsonl", "seed=7", "sampler.alpha=0.25,0.75"], loader)

    expected = [
        ["sampler=hybrid", f"sampler.alpha={alpha}", f"seed={seed}", "data=jsonl"]
        for alpha, seed in itertools.product(("0.25", "0.75"), ("7",))
    ]
    assert list(grid) == expected
    assert grid.varying == ("sampler", "sampler.alpha", "seed")
    assert grid.fixed() == ["data=jsonl"]


def test_the_last_of_two_values_counts_whatever_its_prefix(loader: ConfigLoader) -> None:
    assert list(Grid.parse({"seed": "1,2"}, ["seed=3", "++seed=4"], loader)) == [["++seed=4"]]


def test_ranges_and_globs(loader: ConfigLoader) -> None:
    assert len(list(Grid.parse({}, ["seed=range(1,4)", "sampler=glob(x_*)"], loader))) == 3 * 3
    with pytest.raises(UserError, match=r"seed=range"):
        Grid.parse({}, ["seed=interval(1,4)"], loader)


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["sampler=hybrid", "sampler.alpha=0.25", "seed=2"], "hybrid-alpha0.25-seed2"),
        (["backbone=e5_base", "sampler=x_y"], "e5_base-x_y"),
        (["optim.lr=5e-05", "compile=true"], "lr5e-05-compiletrue"),
        (["loss.terms={}", "seed=1"], "none-seed1"),
        (["loss.terms={variance:0.1}"], "variance-0.1"),
        (["data.leave_out=null"], "all"),
        (["data.leave_out='a b/mfaq'"], "without-mfaq"),
        ([], "hybrid"),
    ],
)
def test_label_tells_what_varies(overrides: list[str], expected: str) -> None:
    names = [override.partition("=")[0] for override in overrides]
    assert label(overrides, names, "hybrid") == expected


def test_hash_ignores_what_has_no_influence_and_nothing_else() -> None:
    base = {
        "seed": 1,
        "logger": {"wandb": None},
        "data": {"workers": 0, "path": "a"},
        "trainer": {"max_steps": 4, "enable_progress_bar": True},
    }

    def hash_with(name: str, value: object) -> str:
        cfg = OmegaConf.create(base)
        OmegaConf.update(cfg, name, value)
        return configuration_hash(cfg)

    same = configuration_hash(OmegaConf.create(base))
    for name, value in {"logger.wandb": 1, "data.workers": 4, "trainer.enable_progress_bar": False}.items():
        assert hash_with(name, value) == same
    for name, value in {"seed": 2, "data.path": "b", "trainer.max_steps": 5}.items():
        assert hash_with(name, value) != same
    assert overrides_hash(["seed=1", "logger=csv", "data.path=a"]) == overrides_hash(
        ["data.path=a", "seed=1"]
    )
    assert overrides_hash(["seed=1", "launcher=slurm", "launcher.time=3"]) == overrides_hash(["seed=1"])
    assert overrides_hash(["seed=1"]) != overrides_hash(["seed=2"])


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["sweep=typo"], ["no sweep=typo", "alpha, "]),
        (["sampler=x_y,typo"], "no sampler=typo"),
        (["seed=1,x"], "seed=x"),
        (["sampler.alpha=0.5,2"], "must lie in [0, 1]"),
        (["sweep=leave_one_out"], "data.path=[a,b,c]"),
        (["seed=1,2", "hydra.sweep.subdir=x"], "hydra.sweep.dir"),
        (["seed=1,2", "resume=perhaps"], "true, false or auto"),
    ],
)
def test_a_mistake_in_any_job_shows_before_the_first(
    command: Command, tmp_path: object, monkeypatch: pytest.MonkeyPatch, overrides: list[str], says: list[str]
) -> None:
    monkeypatch.chdir(str(tmp_path))
    refused(command, "train", "-m", "debug=fast", *overrides, says=says)


def test_dry_run_is_of_sweeps(command: Command, tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(str(tmp_path))
    refused(command, "train", "--dry-run", "debug=fast", says="add -m")


@pytest.mark.parametrize(
    ("sweep", "jobs"), [("alpha", 33), ("strategies", 9), ("backbones", 27), ("loss_terms", 30)]
)
def test_number_of_jobs_is_that_of_the_header(loader: ConfigLoader, sweep: str, jobs: int) -> None:
    file = config_folder() / "sweep" / f"{sweep}.yaml"
    params = OmegaConf.to_container(OmegaConf.load(file).hydra.sweeper.params)
    assert isinstance(params, dict)
    assert len(list(Grid.parse(params, [], loader))) == jobs  # type: ignore[arg-type]
    assert f"# {jobs} jobs" in file.read_text(encoding="utf-8")


def test_dry_run_shows_the_jobs_of_a_sweep(
    command: Command, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    data = ("data=jsonl", "data.path=[x/a,x/b,c]")

    outcome = command("train", "-m", "debug=fast", "sweep=leave_one_out", *data, "--dry-run")

    assert outcome.status == 0, outcome
    assert "\n12 jobs, 12 to run" in outcome.out
    assert {row.split("-seed")[0].strip() for row in outcome.out.splitlines() if "-seed" in row} == {
        *("all", "without-a", "without-b", "without-c")
    }


def test_a_data_set_is_left_out_by_the_last_part_of_its_path() -> None:
    def paths(left_out: str | None, *given: str) -> list[str | None]:
        cfg = OmegaConf.create(
            {"reader": "jsonl", "path": list(given), "options": {}, "sets": None, "leave_out": left_out}
        )
        return [one.path for one in data_sets(cfg)]

    assert paths(None, "x/a", "b/") == ["x/a", "b/"]
    assert paths("b", "x/a", "b/") == ["x/a"]
    assert paths("y/a", "x/a", "y/a") == ["x/a"]
    with pytest.raises(UserError, match="must be one of a, b"):
        paths("c", "a", "b")
    with pytest.raises(UserError, match="only one data set"):
        paths("a", "a")
