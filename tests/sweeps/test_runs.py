"""Real sweeps with the tiny backbone: what fails, what is skipped, what goes on."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from hybrid_retrieval.sweeps.run_record import RunRecord
from tests.conftest import Command
from tests.integration.test_run import log_of, metrics_of, same_weights
from tests.own_data import own_data_overrides


def folders(sweep: Path) -> dict[str, Path]:
    """The run folders by label."""
    return {path.name.rpartition("-")[0]: path for path in sweep.iterdir() if path.is_dir()}


def records(sweep: Path) -> dict[str, RunRecord]:
    found = {name: RunRecord.read(path) for name, path in folders(sweep).items()}
    return {name: record for name, record in found.items() if record is not None}


def test_a_failed_job_does_not_take_the_others_with_it_and_nothing_runs_twice(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    line = [
        *("train", "-m", *own_data_overrides(own_data), "trainer.max_steps=2", f"hydra.sweep.dir={sweep}"),
        *("optim.lr=1e38,1e-3", "global_batch_size=1000,8", "optim.warmup=0"),
    ]
    first = command(*line)

    assert first.status == 1, first
    found = records(sweep)
    assert {name: record.state for name, record in found.items()} == {
        "lr1e+38-global_batch_size1000": "failed",
        "lr1e+38-global_batch_size8": "failed",
        "lr0.001-global_batch_size1000": "failed",
        "lr0.001-global_batch_size8": "finished",
    }
    good, bad = "lr0.001-global_batch_size8", "lr1e+38-global_batch_size8"
    assert found[bad].reason is not None
    assert "training stopped at step" in found[bad].reason
    assert [name for name, record in found.items() if record.user_error] == [
        name for name in found if name.endswith("1000")
    ]
    record = found[good]
    assert (record.step, record.restarts, record.label) == (2, 0, good)
    assert record.result["multilingual"] == metrics_of(folders(sweep)[good])["multilingual"]["map"]
    assert record.best["val/loss"] > 0
    for name in found:
        assert name in first.out
    assert "larger than data set" in first.out
    assert "Traceback" not in first.err

    times = {name: record.updated for name, record in found.items()}
    again = command(*line)

    assert again.status == 1
    assert {name: record.updated for name, record in records(sweep).items()} == times
    rerun = command(*line, "--rerun-failed", "optim.lr=1e-3")
    assert rerun.status == 2, rerun  # what is left to fail is a mistake of the user's
    after = records(sweep)
    assert [name for name in times if after[name].updated != times[name]] == ["lr0.001-global_batch_size1000"]
    assert command("compare", str(sweep)).status == 0


def test_dry_run_tells_states_and_times_and_writes_nothing(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    line = [
        "train",
        "-m",
        *own_data_overrides(own_data),
        "sweep=alpha",
        "trainer.max_steps=2",
        "evaluate=false",
    ]
    assert command(*line, "sampler.alpha=0.5", "seed=1").status == 0
    [sweep] = (tmp_path / "outputs" / "sweeps").iterdir()
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}

    outcome = command(*line, "sampler.alpha=0.5,1.0", "seed=1,2", "--dry-run", "logger=csv")

    assert outcome.status == 0, outcome
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    rows = {row.split()[0].rpartition("-")[0]: row for row in outcome.out.splitlines() if "hybrid-" in row}
    assert set(rows) == {f"hybrid-alpha{alpha}-seed{seed}" for alpha in (0.5, 1.0) for seed in (1, 2)}
    assert ["finished" in row for row in rows.values()].count(True) == 1
    assert "finished" in rows["hybrid-alpha0.5-seed1"]
    assert str(sweep.relative_to(tmp_path)) in outcome.out
    assert "finished runs" in outcome.out
    assert "CPU hours" in outcome.out
    assert "unknown" not in outcome.out


def start(line: list[str], cache: Path) -> "subprocess.Popen[str]":
    environment = {**os.environ, "HYBRID_RETRIEVAL_CACHE": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "hybrid_retrieval", *line],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(what: Any, process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 240
    while not what():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.05)


@pytest.mark.slow
def test_a_killed_sweep_goes_on_where_it_was(
    command: Command, command_cache: Path, own_data: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    line = [
        *("train", "-m", *own_data_overrides(own_data), "seed=1,2", "trainer.max_steps=40"),
        *("trainer.checkpoint_every_n_steps=5", "trainer.val_check_interval=20"),
    ]
    whole = command(*line, "seed=1", f"hydra.sweep.dir={tmp_path / 'whole'}")
    assert whole.status == 0, whole
    process = start([*line, f"hydra.sweep.dir={sweep}"], command_cache)
    checkpoint = next(iter(folders(tmp_path / "whole").values())).name
    # Killed in the middle of a run: after a checkpoint, before the end.
    wait_for((sweep / f"seed1-{checkpoint[-6:]}" / "checkpoints" / "last.ckpt").is_file, process)
    process.send_signal(signal.SIGKILL)
    process.wait()
    killed = records(sweep)["seed1"]
    assert killed.state == "running"
    assert 0 < killed.step < 40

    outcome = command(*line, f"hydra.sweep.dir={sweep}")

    assert outcome.status == 0, outcome
    after = records(sweep)
    assert [(after[name].state, after[name].restarts) for name in ("seed1", "seed2")] == [
        ("finished", 1),
        ("finished", 0),
    ]
    one, other = folders(sweep)["seed1"], folders(tmp_path / "whole")["seed1"]
    assert one.name == other.name
    assert same_weights(one, other)
    assert metrics_of(one) == metrics_of(other)
    assert log_of(one, "train/loss") == log_of(other, "train/loss")
    assert json.loads((one / "run.json").read_text())["checkpoint_step"] == 40


@pytest.mark.slow
def test_an_interrupted_sweep_tells_how_far_it_came(
    command_cache: Path, own_data: Path, tmp_path: Path
) -> None:
    sweep = tmp_path / "sweep"
    process = start(
        [
            *("train", "-m", *own_data_overrides(own_data), "seed=1,2", "trainer.max_steps=5000"),
            *("trainer.checkpoint_every_n_steps=5", f"hydra.sweep.dir={sweep}"),
        ],
        command_cache,
    )
    wait_for(lambda: any(sweep.glob("*/checkpoints/last.ckpt")), process)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=120)

    assert process.returncode == 130, out
    assert {name: record.state for name, record in records(sweep).items()} == {"seed1": "stopped"}
    assert "1 stopped, 1 not started" in out
    assert out.endswith("interrupted\n")
    assert "Traceback" not in out
