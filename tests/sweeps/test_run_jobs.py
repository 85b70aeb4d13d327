"""Which jobs the launcher is given, and what becomes of those that die; the launcher only notes."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hydra.core.utils import JobReturn, JobStatus
from omegaconf import OmegaConf

from hybrid_retrieval.errors import RunFailedError, UserError
from hybrid_retrieval.sweeps.cost import cost_of
from hybrid_retrieval.sweeps.estimate import estimate_jobs
from hybrid_retrieval.sweeps.job import Job
from hybrid_retrieval.sweeps.job_state import state_of
from hybrid_retrieval.sweeps.recorded_run import how_it_ended, recorded_run
from hybrid_retrieval.sweeps.run_jobs import run_jobs
from hybrid_retrieval.sweeps.run_record import RunRecord


def jobs(folder: Path, count: int = 3, *, devices: int = 1) -> list[Job]:
    cfg = OmegaConf.create(
        {
            "evaluate": True,
            "backbone": {"name": "tiny"},
            "global_batch_size": 8,
            "trainer": {"max_steps": 100, "devices": devices, "num_nodes": 1, "accelerator": "cpu"},
        }
    )
    return [Job((f"seed={i}",), cfg, f"{i:012d}", f"seed{i}", folder) for i in range(count)]


def done(job: Job, state: str = "finished", *, metrics: bool = True, **others: object) -> None:
    job.folder.mkdir(parents=True, exist_ok=True)
    RunRecord(job.hash, job.label, state, **others).write(job.folder)  # type: ignore[arg-type]
    if metrics:
        (job.folder / "metrics.json").write_text("{}")


class Launcher:
    """Notes what it is given, and does with each job, by its number, what it is told to."""

    def __init__(self, plan: Sequence[Job], does: Callable[[Job], object] = done) -> None:
        self.plan = {job.overrides[0]: job for job in plan}
        self.does = does
        self.given: list[list[str]] = []

    def __call__(self, overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        returns = []
        for each in overrides:
            self.given.append(list(each))
            returned = JobReturn()
            returned.status = JobStatus.COMPLETED
            try:
                self.does(self.plan[each[0]])
            except Exception as error:
                returned.status, returned.return_value = JobStatus.FAILED, error
            returns.append(returned)
        return returns

    @property
    def seeds(self) -> list[str]:
        return [each[0] for each in self.given]


def test_finished_jobs_are_not_given_to_the_launcher_again(tmp_path: Path) -> None:
    plan = jobs(tmp_path, 5)
    done(plan[0])
    done(plan[1], metrics=False)  # its evaluation is missing
    done(plan[2], "failed", reason="NaN")
    done(plan[3], "stopped")
    launcher = Launcher(plan)

    found = run_jobs(plan, launcher)

    assert launcher.seeds == ["seed=1", "seed=3", "seed=4"]
    assert [record.state for record in found] == ["finished", "finished", "failed", "finished", "finished"]
    again = Launcher(plan)
    run_jobs(plan, again)
    assert again.given == []
    run_jobs(plan, again, rerun_failed=True)
    assert again.seeds == ["seed=2"]


def test_jobs_go_on_in_the_folder_of_their_name(tmp_path: Path) -> None:
    plan = jobs(tmp_path / "it's a sweep", 1)
    launcher = Launcher(plan)
    run_jobs(plan, launcher)

    assert launcher.given[0][1] == "resume=auto"
    assert launcher.given[0][3] == "hydra.sweep.subdir='seed0-000000'"
    assert "it\\'s a sweep" in launcher.given[0][2]


def test_jobs_that_die_are_told_and_can_go_on(tmp_path: Path) -> None:
    def does(job: Job) -> None:
        if job.label == "seed0":
            raise RuntimeError("no node\nfree")
        if job.label == "seed1":
            done(job, "running", metrics=False)  # killed: it says nothing more
        else:
            done(job)

    plan = jobs(tmp_path)
    found = run_jobs(plan, Launcher(plan, does))

    assert [record.state for record in found] == ["stopped", "stopped", "finished"]
    assert found[0].reason == "did not start: no node free"
    assert "killed" in str(found[1].reason)
    assert [state_of(job).name for job in plan] == ["to do", "to do", "finished"]


def test_a_launcher_that_breaks_leaves_the_records_as_they_are(tmp_path: Path) -> None:
    def breaks(overrides: Sequence[Sequence[str]], first: int) -> list[JobReturn]:
        done(plan[0])
        done(plan[1], "running", metrics=False)
        raise RuntimeError("lost the cluster")

    plan = jobs(tmp_path)
    assert [record.state for record in run_jobs(plan, breaks)] == ["finished", "running", "stopped"]


def test_a_folder_of_another_run_is_refused_before_anything_starts(tmp_path: Path) -> None:
    plan = jobs(tmp_path)
    plan[2].folder.mkdir(parents=True)
    RunRecord("f" * 12).write(plan[2].folder)
    launcher = Launcher(plan)

    with pytest.raises(UserError, match=r"holds another run .*hydra\.sweep\.dir"):
        run_jobs(plan, launcher)
    assert launcher.given == []


def test_a_run_that_another_process_is_at_is_left_to_it(tmp_path: Path) -> None:
    plan = jobs(tmp_path, 2)
    launcher = Launcher(plan)
    with recorded_run(plan[0].folder, RunRecord(plan[0].hash), resume="auto"):
        assert state_of(plan[0]).name == "running"
        assert [record.state for record in run_jobs(plan, launcher)] == ["running", "finished"]
        assert launcher.seeds == ["seed=1"]
        if os.fork() == 0:
            try:
                with recorded_run(plan[0].folder, RunRecord(plan[0].hash), resume="auto"):
                    os._exit(1)
            except UserError:
                os._exit(0)
        assert os.waitstatus_to_exitcode(os.wait()[1]) == 0
    assert RunRecord.read(plan[0].folder).state == "finished"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("error", "state", "reason"),
    [
        (UserError("data.path=x does not exist"), "failed", "data.path=x does not exist"),
        (RunFailedError("loss is nan"), "failed", "loss is nan"),
        (ZeroDivisionError("a\nbug"), "failed", "ZeroDivisionError: a bug"),
        (KeyboardInterrupt(), "stopped", "interrupted"),
        (SystemExit(), "stopped", "terminated"),
        (SystemExit(75), "stopped", "left with exit status 75"),
    ],
)
def test_record_tells_how_a_run_ended(tmp_path: Path, error: BaseException, state: str, reason: str) -> None:
    assert how_it_ended(error) == (state, reason)
    with pytest.raises(type(error)), recorded_run(tmp_path, RunRecord("a" * 12), resume=False):
        raise error
    record = RunRecord.read(tmp_path)
    assert record is not None
    assert (record.state, record.reason, record.user_error) == (state, reason, isinstance(error, UserError))


def test_restarts_and_seconds_add_up(tmp_path: Path) -> None:
    done(jobs(tmp_path, 1)[0])
    folder = jobs(tmp_path, 1)[0].folder
    RunRecord("0" * 12, seconds=50.0, step=7, started=1.0, restarts=1).write(folder)
    with recorded_run(folder, RunRecord("0" * 12), resume="auto"):
        pass
    record = RunRecord.read(folder)
    assert record is not None
    assert (record.restarts, record.step, record.started, record.seconds // 1) == (2, 7, 1.0, 50)


def test_estimates_by_finished_runs_of_the_sweep_first(tmp_path: Path) -> None:
    """10 s for 100 steps here; beside it runs of half the speed, and of another batch."""
    plan = jobs(tmp_path / "sweeps" / "a")
    cost = cost_of(plan[0].cfg)
    assert [one.seconds for one in estimate_jobs(plan)] == [None] * 3
    for name, other, seconds in (("b", "16-mixed", 20.0), ("c", {"global_batch_size": 9}, 90.0)):
        folder = tmp_path / "train" / name
        folder.mkdir(parents=True)
        changed = {**cost, **(other if isinstance(other, dict) else {"trainer.precision": other})}
        RunRecord("b", "", "finished", cost=changed, seconds=seconds, step=100).write(folder)
    assert [one.seconds for one in estimate_jobs(plan)] == [pytest.approx(20.0)] * 3
    assert "of other runs" in estimate_jobs(plan)[0].basis
    done(plan[0], cost=cost, seconds=10.0, step=100)
    (plan[1].folder / "checkpoints").mkdir(parents=True)
    (plan[1].folder / "checkpoints" / "last.ckpt").touch()
    done(plan[1], "stopped", metrics=False, checkpoint_step=75)

    estimates = estimate_jobs(plan)

    assert [one.seconds for one in estimates[1:]] == [pytest.approx(2.5), pytest.approx(10.0)]
    assert "of this sweep: finished runs" in estimates[1].basis
    assert (estimates[1].devices, estimates[1].device) == (1, "CPU")
