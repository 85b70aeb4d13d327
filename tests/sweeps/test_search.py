"""Searches by the command line, with runs that only say what a training would have found."""

import csv
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.commands import train
from hybrid_retrieval.errors import RunFailedError, UserError
from hybrid_retrieval.sweeps import search
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash
from hybrid_retrieval.sweeps.job import label_of_folder
from hybrid_retrieval.sweeps.recorded_run import recorded_run
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.sweeps.search_objectives import (
    NoValueError,
    Objective,
    benchmark_warnings,
    parse_objectives,
    read_values,
)
from tests.conftest import Command
from tests.refusal import refused

pytest.importorskip("optuna")

_NAMES = ("val/map_monolingual", "val/map_multilingual", "val/rank_distance")


class Runs:
    """Stands in for training: what is validated follows from alpha and the learning rate.

    Attributes:
        alphas: of the runs that have started.
        interrupt: the number of the run in which Ctrl-C comes.
        fails: whether a run of this alpha does.
    """

    def __init__(self) -> None:
        self.alphas: list[float] = []
        self.interrupt: int | None = None
        self.fails: Any = lambda alpha: False

    def __call__(self, cfg: DictConfig) -> None:
        folder = Path(HydraConfig.get().runtime.output_dir)
        hash_ = configuration_hash(cfg)
        with recorded_run(folder, RunRecord(hash_, label_of_folder(folder, hash_)), resume=cfg.resume):
            alpha, lr = float(cfg.sampler.alpha), float(cfg.optim.lr)
            self.alphas.append(alpha)
            if len(self.alphas) == self.interrupt:
                raise KeyboardInterrupt
            if self.fails(alpha):
                raise RunFailedError("the loss is not finite")
            write_log(folder, [dict.fromkeys(_NAMES, 0.0), dict(zip(_NAMES, found(alpha, lr), strict=True))])
            (folder / "metrics.json").write_text("{}")


def found(alpha: float, lr: float) -> tuple[float, float, float]:
    return alpha, lr * 1e4 * (1 - alpha), 100 * alpha


def write_log(folder: Path, rows: Sequence[dict[str, float]]) -> None:
    with (folder / "train_metrics.csv").open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, ["step", "epoch", *rows[0]])
        writer.writeheader()
        writer.writerows({"step": 2 * (number + 1), "epoch": 0, **row} for number, row in enumerate(rows))


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Runs:
    monkeypatch.chdir(tmp_path)
    made = Runs()
    monkeypatch.setattr(train, "run", made)
    return made


def line(folder: Path | str, *others: str, trials: int = 4) -> list[str]:
    return [
        *("train", "-m", "sweep=search", "debug=fast", f"hydra.sweep.dir={folder}"),
        *(f"hydra.sweeper.search.trials={trials}", "hydra.sweeper.search.startup=2", *others),
    ]


def trials_of(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "search.json").read_bytes())["trials"]  # type: ignore[no-any-return]


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(
    command: Command, runs: Runs, tmp_path: Path
) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    outcome = command(*line(whole, trials=3))
    assert outcome.status == 0, outcome
    assert len(runs.alphas) == 3
    for trial in trials_of(whole):
        alpha, lr = trial["params"]["sampler.alpha"], trial["params"]["optim.lr"]
        assert tuple(trial["values"].values()) == found(alpha, lr)
        assert f"sampler.alpha={alpha!r}" in trial["overrides"]
        assert RunRecord.read(whole / trial["folder"]).state == "finished"  # type: ignore[union-attr]
        if trial["trial"] in json.loads((whole / "search.json").read_bytes())["best"]:
            assert f"sampler.alpha={alpha!r} optim.lr={lr!r}" in outcome.out

    runs.interrupt = 3 + 2
    outcome = command(*line(cut, trials=3))
    assert outcome.status == 130, outcome
    assert "1 complete, 1 open, of 3" in outcome.out
    runs.interrupt = None
    outcome = command(*line(cut, trials=3))

    assert outcome.status == 0, outcome
    assert trials_of(cut) == trials_of(whole)
    assert runs.alphas[3:] == [*runs.alphas[:2], *runs.alphas[1:3]]  # the second, interrupted, twice
    number = len(runs.alphas)
    assert command(*line(cut, trials=4)).status == 0
    assert len(runs.alphas) == number + 1
    assert trials_of(cut)[:3] == trials_of(whole)
    assert "4 runs: 4 finished; 0 to do" in command("status", str(cut)).out


def test_failed_trials_are_told_and_run_again_in_place(command: Command, runs: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    first = [0.0]
    runs.fails = lambda alpha: alpha == first.append(alpha) or len(first) == 3
    outcome = command(*line(folder, "hydra.sweeper.search.n_jobs=2"))

    assert outcome.status == 0, outcome
    assert [trial["state"] for trial in trials_of(folder)] == ["complete", "failed", "complete", "complete"]
    assert "trial 1 failed: the loss is not finite; trial001-alpha" in outcome.out
    assert "3 complete" in outcome.out
    assert outcome.err.count("2 of 2 jobs to run") + outcome.out.count("2 of 2 jobs to run") == 2
    before = trials_of(folder)

    outcome = command(*line(folder, "hydra.sweeper.search.n_jobs=2", "--rerun-failed"))

    assert outcome.status == 0, outcome
    assert runs.alphas[4:] == [runs.alphas[1]]
    after = trials_of(folder)
    assert [trial["state"] for trial in after] == ["complete"] * 4
    assert [trial["params"] for trial in after] == [trial["params"] for trial in before]


def test_a_search_of_which_everything_fails_ends_early(
    command: Command, runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "_GIVE_UP", 2)
    runs.fails = lambda alpha: True
    outcome = command(*line(tmp_path / "search", trials=20))
    assert outcome.status == 1, outcome
    assert len(runs.alphas) == 2
    assert "2 failed, of 20" in outcome.out
    assert command(*line(tmp_path / "search", trials=20)).status == 1
    assert len(runs.alphas) == 2


def test_dry_run_writes_nothing(command: Command, runs: Runs, tmp_path: Path) -> None:
    outcome = command(
        *("train", "-m", "sweep=search", "debug=fast", "--dry-run", "sampler.alpha=0.5,0.75"),
        *("optim.lr=tag(log,interval(1e-5,1e-3))", "hydra.sweeper.search.objectives=[val/loss]"),
    )
    assert outcome.status == 0, outcome
    assert runs.alphas == []
    assert list(tmp_path.iterdir()) == []
    for words in (
        "0.5 | 0.75",
        "1e-05 to 0.001 (logarithmic)",
        "minimize val/loss",
        "30 trials",
        "Time: unknown",
    ):
        assert words in outcome.out


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["sampler.alpha=interval(0,2)"], "must lie in [0, 1]"),
        (["seed=1,2"], "luckiest"),
        (["sampler=x_y"], ["no setting sampler.alpha", "{sampler.alpha: null}"]),
        (["hydra.sweeper.search.trails=3"], "trails"),
        (["hydra.sweeper.search.objectives=[val/map]"], ["val/map is unknown", "val/map_multilingual,"]),
        (["rerun_failed=perhaps"], "true or false"),
        (["hydra.sweep.subdir=x"], "hydra.sweep.dir"),
    ],
)
def test_a_mistake_shows_before_the_first_trial(
    command: Command, runs: Runs, tmp_path: Path, overrides: list[str], says: str | list[str]
) -> None:
    refused(command, "train", "-m", "sweep=search", "debug=fast", *overrides, says=says)
    assert runs.alphas == []
    assert list(tmp_path.iterdir()) == []


def test_without_optuna_the_message_says_what_to_install(
    command: Command, runs: Runs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    refused(command, *line(tmp_path / "search"), says="pip install 'hybrid-retrieval[search]'")
    assert not (tmp_path / "search").exists()


def config(**others: Any) -> DictConfig:
    return OmegaConf.create(
        {
            "evaluate": True,
            "benchmark": {"name": "xquad_r"},
            "val_retrieval": None,
            "trainer": {"val_check_interval": 2, "max_steps": 4},
            "data": {"validation_limit": 8},
            **others,
        }
    )


def test_objectives_know_which_way_is_better() -> None:
    expected = [Objective("val/loss", "minimize"), Objective("val/map_multilingual", "maximize")]
    for given in (
        ["val/loss", {"val/map_multilingual": "maximize"}],
        {"val/loss": "minimize", **{expected[1].name: None}},
    ):
        assert parse_objectives(given, config()) == expected
    assert parse_objectives("language_bias.peer", config()) == [Objective("language_bias.peer", "maximize")]
    both_ways = [{"language_bias.lpr": "minimize"}]
    assert parse_objectives(both_ways, config()) == [Objective("language_bias.lpr", "minimize")]


@pytest.mark.parametrize(
    ("given", "cfg", "says"),
    [
        ([], {}, "objectives is empty"),
        (None, {}, "objectives is empty"),
        (["val/map"], {}, r"val/map is unknown; known: val/loss, .*val/rank_distance, .*multilingual\.map,"),
        (["val_retrieval/map_multilingual"], {}, "needs benchmark@val_retrieval"),
        (["multilingual.map"], {"evaluate": False}, "need evaluate=true"),
        ([{"val/loss": "maximize"}], {}, "write val/loss: minimize"),
        ([{"val/loss": "up"}], {}, "minimize or maximize"),
        (["language_bias.lpr"], {}, "neither way"),
        (["val/loss"], {"trainer": {"val_check_interval": None, "max_steps": 4}}, "val_check_interval"),
        (["val/loss"], {"trainer": {"val_check_interval": 5, "max_steps": 4}}, "val_check_interval"),
        (["val/loss"], {"data": {"validation_limit": 0}}, "validation_limit"),
    ],
)
def test_objectives_that_cannot_be_are_refused(given: Any, cfg: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        parse_objectives(given, config(**cfg))


def test_a_search_by_the_benchmark_is_warned_of(command: Command, runs: Runs) -> None:
    def warnings(name: str, **others: Any) -> list[str]:
        cfg = config(**others)
        return benchmark_warnings(parse_objectives([name], cfg), cfg)

    assert warnings("val/map_multilingual") == []
    assert "tunes to it" in warnings("multilingual.map")[0]
    assert warnings("multilingual.map", benchmark={"name": "parallel", "split": "validation"}) == []
    for split, count in (("test", 1), ("validation", 0)):
        retrieval = {"name": "world_facts", "split": split}
        assert len(warnings("val_retrieval/map_multilingual", val_retrieval=retrieval)) == count
    objectives = "hydra.sweeper.search.objectives=[val/loss,multilingual.map]"
    outcome = command("train", "-m", "sweep=search", "debug=fast", "--dry-run", objectives)
    assert "The search tunes to it" in outcome.out + outcome.err


def test_another_question_in_the_folder_is_refused(command: Command, runs: Runs, tmp_path: Path) -> None:
    folder = tmp_path / "search"
    assert command(*line(folder, trials=1)).status == 0
    for other in ("optim.lr=interval(1e-6,1e-3)", "seed=2"):
        refused(command, *line(folder, other, trials=1), says=["holds another search", "hydra.sweep.dir"])
    assert command(*line(folder, "logger=csv", trials=1)).status == 0
    assert len(runs.alphas) == 1


def test_values_are_those_of_the_weights_that_were_kept(tmp_path: Path) -> None:
    rows = [{"val/loss": 2.0, "val/rank_distance": 9.0}, {"val/loss": 1.0, "val/rank_distance": 5.0}]
    write_log(tmp_path, [*rows, {"val/loss": 1.5, "val/rank_distance": 7.0}])
    (tmp_path / "metrics.json").write_text('{"multilingual": {"map": 0.25, "map@20": null}}')
    both = [Objective("val/rank_distance", "minimize"), Objective("multilingual.map", "maximize")]

    assert read_values(both, tmp_path, None) == [7.0, 0.25]
    assert read_values(both, tmp_path, "val/loss") == [5.0, 0.25]
    for name in ("multilingual.map@20", "language_bias.peer", "val/map_multilingual"):
        with pytest.raises(NoValueError, match=f"no {name} in .*validated were val/loss"):
            read_values([Objective(name, "maximize")], tmp_path, None)


def test_hydra_starts_without_optuna() -> None:
    code = (
        "import sys; from hybrid_retrieval.cli import run; "
        "run(['train', 'sweep=search', '--cfg', 'hydra']); sys.exit('optuna' in sys.modules)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "SearchSweeper" in result.stdout
