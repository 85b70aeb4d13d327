"""What `hybrid-retrieval status` shows: rows, planned jobs, totals, and records that cannot be read."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hydra import initialize_config_dir
from rich.console import Console

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.reporting import run_states
from hybrid_retrieval.reporting.status import read_status, status_table
from hybrid_retrieval.sweeps.run_record import RUN_RECORD
from tests.reporting.recorded_runs import shown, states, write_run


@pytest.fixture
def _hydra() -> Iterator[None]:
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        yield


def test_a_row_tells_step_speed_time_left_and_scores(tmp_path: Path) -> None:
    best = {"val/loss": 1.25, "val/map_multilingual": 0.375}
    write_run(
        tmp_path / "a", step=300, max_steps=1000, steps_per_second=0.1, pairs_per_second=51.2, best=best
    )
    write_run(tmp_path / "b", state="finished", step=7, max_steps=7, result={"multilingual": 0.5})
    write_run(tmp_path / "c", state="finished", step=7, max_steps=7, result={"multilingual": 0.75})

    lines = shown(tmp_path).splitlines()

    row = next(line for line in lines if line.split()[:1] == ["a"]).split()
    assert row[1] == "running"
    # 700 steps at 0.1 a second are 7000 s
    assert row[3:] == ["300/1000", "30%", "51", "1:56:40", "1.2500", "0.3750"]
    assert next(line for line in lines if line.split()[:1] == ["b"]).split()[-1] == "0.5000"
    assert "3 runs: 2 finished, 1 running; 1 to do; best multilingual mAP 0.7500 (c)" in lines


@pytest.mark.parametrize(
    ("watched", "values", "heads", "best"),
    [
        ("val/loss", (1.25, 1.125), "best val mAP mAP", "1.1250 (b)"),
        ("val/map_multilingual", (0.375, 0.25), "best val loss mAP", "0.3750 (a)"),
        ("val_retrieval/ndcg@10_monolingual", (0.5, 0.75), "best val loss val mAP mAP", "0.7500 (b)"),
    ],
)
def test_what_is_watched_is_told_by_name_with_the_best_run(
    tmp_path: Path, watched: str, values: tuple[float, float], heads: str, best: str
) -> None:
    mode = "min" if watched == "val/loss" else "max"
    for name, value in zip("ab", values, strict=True):
        write_run(tmp_path / name, best={watched: value}, watched=watched, watched_mode=mode)
    write_run(tmp_path / "c")  # has not begun to train

    lines = shown(tmp_path).splitlines()

    header = next(line.split() for line in lines if line.split()[:2] == ["run", "state"])
    assert header[header.index("left") + 1 :] == heads.split()
    direction = {"min": "lower", "max": "higher"}[mode]
    assert f"best so far of {watched}, {direction} is better: {best}" in lines


def test_runs_that_watch_different_metrics_name_them_each(tmp_path: Path) -> None:
    write_run(tmp_path / "a", best={"val/loss": 1.25}, watched="val/loss")
    maps = {"val/loss": 1.0, "val/rank_distance": 4.0}
    write_run(tmp_path / "b", best=maps, watched="val/rank_distance")

    text = shown(tmp_path)

    assert "val/loss 1.2500" in text
    assert "val/rank_distance 4.0000" in text
    assert "best so far" not in text


@pytest.mark.parametrize("width", [64, 80, 100, 140])
def test_labels_and_states_are_whole_at_every_width(tmp_path: Path, width: int) -> None:
    label = "hybrid-alpha0.25-seed1-lr2e-05"
    write_run(
        tmp_path / label, host="gpu-node-0017.cluster.example", state="stopped", step=31000,
        max_steps=100000, pairs_per_second=4300.0, best={"val/loss": 1.5, "val/map_multilingual": 0.25},
        result={"multilingual": 0.5},
    )  # fmt: skip
    console = Console(width=width)
    with console.capture() as capture:
        console.print(status_table(read_status([tmp_path])))
    row = next(line for line in capture.get().splitlines() if label in line)

    assert row.split()[:2] == [label, "stopped"]
    assert row.split()[-1] == "0.5000"
    assert ("1.5000" in row) == (width > 80)
    assert "…" not in row


def test_the_reason_of_a_failure_is_told_whole(tmp_path: Path) -> None:
    reason = "data.path=[a]: " + "no such folder, " * 20 + "END"
    write_run(tmp_path / "a", state="failed", reason=reason)

    assert " ".join(f"a: failed {reason}".split()) in " ".join(shown(tmp_path).split())
    assert "1 run: 1 failed; 0 to do" in shown(tmp_path)


@pytest.mark.usefixtures("_hydra")
def test_planned_jobs_that_have_not_started_wait(tmp_path: Path) -> None:
    sweeper = "hydra_plugins.hybrid_retrieval_plugins.sweeper.JobSweeper"
    plan = {
        "hydra": {
            "sweeper": {"_target_": sweeper, "params": {"sampler.alpha": "0,0.5,1", "seed": "1,2"}},
            "overrides": {"task": ["data=jsonl", "seed=3,4"]},
        },
        "sampler": {"name": "hybrid"},
    }
    (tmp_path / "multirun.yaml").write_text(yaml.safe_dump(plan), encoding="utf-8")
    assert set(states(tmp_path).values()) == {"waiting"}
    assert len(states(tmp_path)) == 6

    write_run(tmp_path / "alpha0.5-seed3", state="finished")
    # an earlier start gave it another label; its overrides tell which job it is
    other = write_run(tmp_path / "earlier", state="failed", reason="x")
    (other / ".hydra").mkdir()
    overrides = ["sampler.alpha=1", "data=jsonl", "seed=4", "resume=auto"]
    (other / ".hydra" / "overrides.yaml").write_text(yaml.safe_dump(overrides), encoding="utf-8")

    assert states(tmp_path) == {
        "alpha0.5-seed3": "finished", "earlier": "failed", "alpha0-seed3": "waiting",
        "alpha0-seed4": "waiting", "alpha0.5-seed4": "waiting", "alpha1-seed3": "waiting",
    }  # fmt: skip
    assert "6 runs: 1 finished, 1 failed, 4 waiting; 4 to do" in shown(tmp_path)


def test_sweeps_come_newest_first_and_are_summed_up(tmp_path: Path) -> None:
    for name, started in (("old", 1e9), ("new", 3e9), ("middle", 2e9)):
        write_run(tmp_path / name / "a", state="finished", started=started)

    status = read_status([tmp_path, tmp_path / "old"])

    assert [sweep.folder.name for sweep in status.sweeps] == ["new", "middle", "old"]
    assert "All: 3 runs: 3 finished; 0 to do" in shown(tmp_path)


@pytest.mark.parametrize("content", [
    '{"schema": 1, "hash": "0', "[]", '{"schema": 99}', '{"name": "of another program"}',
    '{"schema": 1, "hash": "0", "state": "flying"}', '{"schema": 1, "hash": "0", "step": "many"}',
    '{"schema": 1, "hash": "0", "best": [1]}', '{"schema": 1, "hash": "0", "max_steps": Infinity}',
])  # fmt: skip
def test_a_torn_or_foreign_record_is_skipped_with_a_line(tmp_path: Path, content: str) -> None:
    write_run(tmp_path / "good", state="finished")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / RUN_RECORD).write_text(content, encoding="utf-8")

    assert states(tmp_path) == {"good": "finished"}
    assert "".join(f"skipped: {tmp_path / 'bad' / RUN_RECORD}".split()) in "".join(shown(tmp_path).split())


def test_a_hundred_runs_are_read_quickly(tmp_path: Path) -> None:
    for number in range(100):
        write_run(tmp_path / f"r{number}", pid=os.getpid())
    start = time.perf_counter()

    assert run_states.count(read_status([tmp_path]).runs, ("running",)) == 100
    assert time.perf_counter() - start < 1
