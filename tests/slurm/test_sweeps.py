"""A sweep on a real SLURM: whatever befalls a job, its run ends as one left in peace, or says why not.

All of it befalls the jobs of one sweep. They differ in a setting that has no influence here, so that their
runs are to end alike; the line that submitted them is interrupted, and the same line waits for them again.
"""

import os
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from hybrid_retrieval.sweeps.run_record import RunRecord
from tests.integration.test_run import same_weights, weights_of
from tests.slurm.cluster import Cluster, steps, wait_until
from tests.training.test_preemption import rows_of

pytestmark = pytest.mark.slurm

STEPS, CHECKPOINT = 120, 50
GO_ON = ("pre-empted", "pre-empted with grace", "out of time", "node down")
DIE = {"killed": ("failed", "signal 9"), "cancelled": ("stopped", "cancelled")}
# The number of each in the array. Nothing is evaluated, so that a limit of the benchmark tells jobs apart.
NAMES = ("left in peace", *GO_ON, *DIE)
LIMITS = [str(11 + number) for number in range(len(NAMES))]


def disturb(cluster: Cluster, name: str, record: RunRecord) -> None:
    """Do to a job what its name says. It has been stopped; SLURM has it continue when it tells it to end."""
    assert record.slurm_job is not None
    if name in ("pre-empted", "pre-empted with grace"):
        cluster.pre_empt(record.slurm_job)
    elif name == "out of time":
        cluster.warn(record.slurm_job, record.pid)
    elif name == "node down":
        cluster.crash(record.slurm_job)
    elif name == "killed":
        os.kill(record.pid, signal.SIGKILL)
    else:
        cluster.run("scancel", record.slurm_job)


@dataclass(frozen=True)
class Story:
    """What became of the sweep.

    Attributes:
        folder: of the sweep.
        interrupted: exit status and output of the line that submitted the jobs.
        ended: of the same line, started again.
    """

    folder: Path
    interrupted: tuple[int, str]
    ended: tuple[int, str]

    def run(self, name: str) -> Path:
        found = list(self.folder.glob(f"limit{LIMITS[NAMES.index(name)]}-*"))
        if not found:
            raise FileNotFoundError(name)
        return found[0]

    def record(self, name: str) -> RunRecord:
        found = RunRecord.read(self.run(name))
        if found is None:
            raise FileNotFoundError(name)
        return found

    def stop_between_checkpoint_and_end(self, names: Iterable[str]) -> list[str]:
        """Those of the jobs that are there; they stand still from now on."""
        found = []
        for name in names:
            try:
                record = self.record(name)
                if record.state == "running" and steps(self.run(name)) > CHECKPOINT + 5:
                    os.kill(record.pid, signal.SIGSTOP)
                    found.append(name)
            except FileNotFoundError:  # not started yet
                continue
        return found


@pytest.fixture(scope="module")
def story(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("sweep")
    overrides = (
        *(f"trainer.max_steps={STEPS}", f"trainer.checkpoint_every_n_steps={CHECKPOINT}"),
        *("trainer.val_check_interval=40", f"benchmark.limit={','.join(LIMITS)}"),
    )
    with cluster.sweeping(folder, *overrides, "+launcher.additional.hold=true") as first:
        first.wait_for("waits for them again")
        first.process.send_signal(signal.SIGINT)
        interrupted = first.end(60)
    array = next(iter(cluster.jobs())).partition("_")[0]
    graceful = f"{array}_{NAMES.index('pre-empted with grace')}"
    cluster.run("scontrol", "update", f"jobid={graceful}", "partition=grace")
    cluster.run("scontrol", "release", array)
    with cluster.sweeping(folder, *overrides) as second:
        found, left = Story(folder, interrupted, (0, "")), set(NAMES[1:])

        def there() -> list[str]:
            assert second.process.poll() is None, f"the sweep has ended already:\n{second.output}"
            names = found.stop_between_checkpoint_and_end(left)
            # A start that finds a job dead runs it again.
            return names if "in the queue already" in second.output else [n for n in names if n not in DIE]

        while left:
            for name in wait_until(there, f"one of these to train: {', '.join(sorted(left))}"):
                disturb(cluster, name, found.record(name))
                left.remove(name)
        return Story(folder, interrupted, second.end(200))


def test_jobs_outlive_the_line_that_submitted_them(story: Story) -> None:
    status, output = story.interrupted
    assert status == 130, output
    assert f"{len(NAMES)} jobs go on without this command" in output
    assert "in the queue already" in story.ended[1]
    assert len(list(story.folder.glob(".submitit/*/*_submission.sh"))) == 1


def test_job_left_in_peace_finishes(story: Story) -> None:
    record = story.record("left in peace")

    assert (record.state, record.step, record.restarts) == ("finished", STEPS, 0), story.ended[1]


@pytest.mark.parametrize("name", GO_ON)
def test_job_goes_on_and_ends_as_if_nothing_had_happened(story: Story, name: str) -> None:
    record, other = story.record(name), story.run("left in peace")

    assert (record.state, record.step, record.restarts) == ("finished", STEPS, 1), story.ended[1]
    assert rows_of(story.run(name)) == rows_of(other)
    assert same_weights(story.run(name), other)


@pytest.mark.parametrize("name", DIE)
def test_job_that_dies_is_told_with_its_reason(story: Story, name: str) -> None:
    record, (state, reason) = story.record(name), DIE[name]
    status, output = story.ended

    assert (record.state, status) == (state, 1), output
    assert reason in (record.reason or "").lower()
    assert f"{story.run(name).name}: {state}: {record.reason}" in output


def test_two_nodes_train_to_the_weights_of_one(cluster: Cluster, tmp_path: Path) -> None:
    # In bf16 the order of the sums shows in the third digit, so that only float32 tells a wrong gradient.
    overrides = (
        "trainer.max_steps=20",
        "trainer.precision=32-true",
        "data.hard_negatives=0",
        "trainer.num_nodes=1,2",
    )
    with cluster.sweeping(tmp_path, *overrides) as sweep:
        status, output = sweep.end(200)

    assert status == 0, output
    one, two = (weights_of(run) for run in sorted(tmp_path.glob("num_nodes*")))
    torch.testing.assert_close(two, one, atol=1e-5, rtol=0)
