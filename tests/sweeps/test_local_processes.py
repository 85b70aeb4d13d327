"""Several processes in a multirun: those the run starts itself work, others would run the whole sweep."""

import csv
from pathlib import Path

import pytest
import torch
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.check_job import check_local_processes, check_slurm_processes
from tests.conftest import Command
from tests.integration.test_run import log_of, metrics_of, weights_of
from tests.own_data import own_data_overrides
from tests.sweeps.test_runs import folders, records

TWO = ("trainer.devices=2", "trainer.strategy=ddp")


def trainer(strategy: str, devices: object = 2, nodes: int = 1) -> DictConfig:
    return OmegaConf.create(
        {"strategy": strategy, "devices": devices, "accelerator": "cpu", "num_nodes": nodes}
    )


@pytest.mark.parametrize("strategy", ["ddp", "auto", "fsdp2"])
def test_processes_started_from_outside_are_refused(strategy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    check_local_processes(trainer(strategy))
    check_local_processes(trainer(strategy, 1))
    check_slurm_processes(trainer(strategy))
    with pytest.raises(UserError, match=r"2 nodes.*launcher=slurm"):
        check_local_processes(trainer(strategy, nodes=2))
    torchrun = {
        "RANK": "0",
        "LOCAL_RANK": "0",
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": "1",
    }
    for name, value in torchrun.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=r"2 devices.*without torchrun"):
        check_local_processes(trainer(strategy))


@pytest.mark.parametrize("strategy", ["ddp_spawn", "fsdp2_spawn"])
def test_processes_of_its_own_are_refused_where_slurm_starts_them(strategy: str) -> None:
    check_local_processes(trainer(strategy))
    with pytest.raises(UserError, match="SLURM starts the processes"):
        check_slurm_processes(trainer(strategy))


def test_refusal_comes_before_the_first_job(command: Command, own_data: Path, tmp_path: Path) -> None:
    overrides = [*own_data_overrides(own_data), f"hydra.sweep.dir={tmp_path / 'sweep'}"]

    outcome = command("train", "-m", *overrides, "trainer.num_nodes=1,2")

    assert outcome.status == 2, outcome
    assert "launcher=slurm" in outcome.err
    assert not (tmp_path / "sweep").exists()


@pytest.mark.slow
def test_spawned_processes_in_a_multirun_end_where_one_process_does(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    """The last job's batch cannot be divided among two: it fails, in its processes, alone."""
    options = [*own_data_overrides(own_data), "trainer.checkpoint_every_n_steps=2"]
    one = tmp_path / "one"
    assert command("train", *options, f"hydra.run.dir={one}").status == 0

    outcome = command(
        "train", "-m", *options, *TWO, "global_batch_size=8,9", f"hydra.sweep.dir={tmp_path / 'sweep'}"
    )

    assert outcome.status == 2, outcome
    found = records(tmp_path / "sweep")
    assert found["global_batch_size9"].state == "failed"
    assert "cannot be divided among 2 devices" in str(found["global_batch_size9"].reason)
    two = folders(tmp_path / "sweep")["global_batch_size8"]
    record = found["global_batch_size8"]
    assert (record.state, record.step, record.max_steps) == ("finished", 4, 4)
    names = {path.name for path in one.iterdir()}
    assert {path.name for path in two.iterdir()} == names
    for name, value in weights_of(one).items():
        torch.testing.assert_close(weights_of(two)[name], value, atol=1e-5, rtol=0)
    ours, theirs = metrics_of(two, drop=()), metrics_of(one, drop=())
    assert ours["run"]["steps"] == theirs["run"]["steps"] == 4
    for setting in ("monolingual", "cross_lingual", "multilingual"):
        assert ours[setting] == pytest.approx(theirs[setting], abs=1e-4)
    for column in ("train/loss", "val/loss", "val/map_multilingual", "train/monolingual_batches"):
        assert log_of(two, column) == pytest.approx(log_of(one, column), abs=1e-4)
    assert columns(two) == columns(one)
    for text in ("4 steps of 8 pairs", "pairs/s and", "| multilingual |"):
        assert text in (two / "summary.md").read_text(encoding="utf-8")
    assert "before the first step" in (two / "train.log").read_text(encoding="utf-8")
    checkpoint = torch.load(two / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4


@pytest.mark.slow
def test_a_spawned_process_that_fails_fails_the_job_alone(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    line = [*own_data_overrides(own_data), "trainer.max_steps=2", "optim.warmup=0", "trainer.accelerator=cpu"]

    outcome = command(
        "train", "-m", *line, *TWO, "optim.lr=1e38,1e-3", "evaluate=false", f"hydra.sweep.dir={sweep}"
    )

    assert outcome.status == 1, outcome
    found = records(sweep)
    assert {name: record.state for name, record in found.items()} == {
        "lr1e+38": "failed",
        "lr0.001": "finished",
    }
    assert "training stopped at step" in str(found["lr1e+38"].reason)


def columns(folder: Path) -> list[str]:
    with (folder / "train_metrics.csv").open(newline="", encoding="utf-8") as file:
        return next(csv.reader(file))
