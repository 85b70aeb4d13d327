"""Sweeps on a real SLURM: whatever befalls a job, its run ends as one on this machine, or says why not."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from tests.integration.test_run import same_weights
from tests.slurm.cluster import Cluster, records, steps, wait_until
from tests.training.test_preemption import rows_of

pytestmark = pytest.mark.slurm
LONG = ("trainer.max_steps=700", "trainer.checkpoint_every_n_steps=100")


@pytest.fixture(scope="session")
def whole(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The long run that nobody disturbs."""
    folder = tmp_path_factory.mktemp("whole")
    done = cluster.sweep(folder, *LONG, "launcher=local")
    assert done.returncode == 0, done.stderr
    return next(folder.glob("*/model")).parent


def ended_alike(folder: Path, whole: Path) -> bool:
    run = next(folder.glob("*/model")).parent
    assert rows_of(run) == rows_of(whole)
    return same_weights(run, whole)


def test_jobs_of_a_sweep(cluster: Cluster, tmp_path: Path) -> None:
    done = cluster.sweep(tmp_path, "seed=1,2,3")

    assert done.returncode == 0, done.stdout + done.stderr
    assert [record["state"] for record in records(tmp_path)] == ["finished"] * 3
    assert len({record["slurm_job"] for record in records(tmp_path)}) == 3


def test_two_nodes_train_to_the_weights_of_one(cluster: Cluster, tmp_path: Path) -> None:
    import torch  # noqa: PLC0415
    from safetensors.torch import load_file  # noqa: PLC0415

    short = ("trainer.max_steps=20", "data.hard_negatives=0")
    done = cluster.sweep(tmp_path / "two", *short, "trainer.num_nodes=2")
    assert done.returncode == 0, done.stdout + done.stderr
    assert cluster.sweep(tmp_path / "one", *short, "launcher=local").returncode == 0

    one, two = (
        load_file(next((tmp_path / name).glob("*/model/model.safetensors"))) for name in ("one", "two")
    )
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=0)


@pytest.mark.parametrize("partition", ["low", "grace"], ids=["without grace", "with grace"])
def test_pre_empted_job_goes_on(cluster: Cluster, tmp_path: Path, whole: Path, partition: str) -> None:
    with cluster.sweeping(tmp_path, *LONG, f"launcher.partition={partition}") as sweep:
        wait_until(lambda: steps(tmp_path) > 50)
        node = cluster.jobs()[0][2]
        other = ("--partition=high", "--exclusive", f"--nodelist={node}", f"--output={tmp_path}/other.out")
        cluster.run("sbatch", *other, "--wrap=sleep 2")
        wait_until(lambda: records(tmp_path)[0]["restarts"] == 1)
        out, _ = sweep.communicate(timeout=120)

    assert sweep.returncode == 0, out
    assert ended_alike(tmp_path, whole)


def test_job_out_of_time_goes_on(cluster: Cluster, tmp_path: Path, whole: Path) -> None:
    with cluster.sweeping(tmp_path, *LONG) as sweep:
        wait_until(lambda: steps(tmp_path) > 50)
        # What SLURM sends `launcher.signal_delay_s` before the limit, whose unit is a minute.
        cluster.run("scancel", "--signal=USR2", cluster.jobs()[0][0])
        wait_until(lambda: records(tmp_path)[0]["restarts"] == 1)
        out, _ = sweep.communicate(timeout=120)

    assert sweep.returncode == 0, out
    assert ended_alike(tmp_path, whole)


def test_job_of_a_node_that_goes_down_goes_on(cluster: Cluster, tmp_path: Path, whole: Path) -> None:
    with cluster.sweeping(tmp_path, *LONG) as sweep:
        wait_until(lambda: steps(tmp_path) > 120)
        node = cluster.jobs()[0][2]
        os.kill(records(tmp_path)[0]["pid"], signal.SIGSTOP)
        cluster.run("scontrol", "update", f"nodename={node}", "state=down", "reason=test")
        os.kill(records(tmp_path)[0]["pid"], signal.SIGKILL)
        try:
            wait_until(lambda: records(tmp_path)[0]["restarts"] == 1)
            out, _ = sweep.communicate(timeout=120)
        finally:
            cluster.run("scontrol", "update", f"nodename={node}", "state=resume")

    assert sweep.returncode == 0, out
    assert ended_alike(tmp_path, whole)


@pytest.mark.parametrize("end", ["killed", "cancelled"])
def test_job_that_dies_is_told_and_leaves_the_others_alone(
    cluster: Cluster, tmp_path: Path, end: str
) -> None:
    with cluster.sweeping(tmp_path, *LONG, "trainer.max_steps=600", "seed=1,2") as sweep:
        wait_until(lambda: steps(tmp_path) > 30)
        first = records(tmp_path)[0]
        if end == "killed":
            os.kill(first["pid"], signal.SIGKILL)
        else:
            cluster.run("scancel", first["slurm_job"])
        out, _ = sweep.communicate(timeout=120)

    assert sweep.returncode == 1, out
    states = [record["state"] for record in records(tmp_path)]
    assert states == [{"killed": "failed", "cancelled": "stopped"}[end], "finished"]
    reason = records(tmp_path)[0]["reason"]
    assert {"killed": "signal 9", "cancelled": "cancel"}[end] in reason.lower()


def test_second_start_waits_for_the_same_jobs(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.sweeping(tmp_path, *LONG, "+launcher.additional.begin=now+8") as first:
        wait_until(cluster.jobs)
        first.send_signal(signal.SIGINT)
        out, _ = first.communicate(timeout=30)
        assert first.returncode == 130, out
        assert "1 jobs go on" in out
        jobs = cluster.jobs()
        second: subprocess.CompletedProcess[str] = cluster.sweep(
            tmp_path, *LONG, "+launcher.additional.begin=now+8"
        )

    assert second.returncode == 0, second.stdout + second.stderr
    assert records(tmp_path)[0]["state"] == "finished"
    submissions = list((tmp_path / ".submitit").glob("*/*_submission.sh"))
    assert len(submissions) == len(jobs) == 1
