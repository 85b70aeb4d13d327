"""What is read from SLURM's commands, with commands that answer as SLURM 22.05 does."""

from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from hybrid_retrieval import launch
from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.slurm_queue import Death, SlurmQueue, in_order, job_state, own_job
from hybrid_retrieval.sweeps.slurm_resources import sbatch_parameters


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")

    def write(name: str, text: str = "", status: int = 0) -> None:
        (tmp_path / f"{name}.txt").write_text(text, encoding="utf-8")
        script = (
            f"#!/bin/sh\ncat {tmp_path / name}.txt\n[ {status} = 0 ] || echo no such job >&2\nexit {status}\n"
        )
        (tmp_path / name).write_text(script, encoding="utf-8")
        (tmp_path / name).chmod(0o755)

    return write


def test_jobs_that_ended_are_not_alive(commands: Any) -> None:
    commands(
        "squeue", "7_0|RUNNING|None\n7_1|PENDING|(Resources)\n7_2|COMPLETED|None\n8|PENDING|BadConstraints\n"
    )

    alive = SlurmQueue().alive()

    assert alive.keys() == {"7_0", "7_1", "8"}
    assert [alive[job].stuck for job in ("7_0", "7_1", "8")] == [False, False, True]


def test_controller_tells_how_a_job_ended(commands: Any) -> None:
    line = (
        "JobId=9 JobName=x y JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125 RunTime=00:03:12 "
        "TimeLimit=1-00:00:00 NodeList=node7 MinMemoryNode=8G"
    )
    commands("scontrol", f"{line}\n")

    death = SlurmQueue().death("9")

    assert death == Death("OUT_OF_MEMORY", "on node7, after 00:03:12, with 8G of memory, signal 125")
    assert job_state("9") == "OUT_OF_MEMORY"


@pytest.mark.parametrize(
    ("shown", "restarts", "state"),
    [
        ("Reason=None Restarts=0", None, "CANCELLED"),
        ("Reason=None Restarts=1", "1", "CANCELLED"),
        ("Reason=None Restarts=1", None, "REQUEUED"),
        ("Reason=None Restarts=2", "1", "REQUEUED"),
        ("Reason=TimeLimit Restarts=0", None, "TIMEOUT"),
    ],
)
def test_job_that_is_ending_knows_what_for(
    commands: Any, monkeypatch: pytest.MonkeyPatch, shown: str, restarts: str | None, state: str
) -> None:
    commands("scontrol", f"JobId=4 JobState=COMPLETING {shown}\n")
    monkeypatch.delenv("SLURM_RESTART_COUNT", raising=False)
    if restarts is not None:
        monkeypatch.setenv("SLURM_RESTART_COUNT", restarts)

    assert job_state("17_3") == state


def test_own_job_of_an_array_is_the_one_that_people_see() -> None:
    one = {"SLURM_JOB_ID": "19"}

    assert own_job({}) is None
    assert own_job(one) == "19"
    assert own_job({**one, "SLURM_ARRAY_JOB_ID": "17", "SLURM_ARRAY_TASK_ID": "0"}) == "17_0"


def test_accounting_remembers_what_the_controller_forgot(commands: Any) -> None:
    commands("scontrol", status=1)
    commands("sacct", "CANCELLED by 1000|0:15|00:00:09|1-00:00:00|4G|node1\n")

    assert SlurmQueue().death("9") == Death("CANCELLED", "on node1, after 00:00:09, signal 15")


def test_lack_of_accounting_is_told_once(commands: Any, caplog: pytest.LogCaptureFixture) -> None:
    commands("scontrol", status=1)
    commands("sacct", status=1)
    queue = SlurmQueue()

    assert {queue.death(job).state for job in ("1", "2", "3")} == {"UNKNOWN"}
    assert len(caplog.records) == 1


def test_silent_controller_is_no_empty_queue(commands: Any) -> None:
    commands("squeue", status=1)

    with pytest.raises(UserError, match="squeue failed: no such job"):
        SlurmQueue().alive()


def test_ids_are_ordered_as_numbers() -> None:
    assert in_order(["7_10", "7_9", "12"]) == ["7_9", "7_10", "12"]


def configuration(**settings: Any) -> Any:
    launcher = OmegaConf.load(config_folder() / "launcher" / "slurm.yaml").launcher
    trainer = {"devices": 1, "num_nodes": 1, "accelerator": "cpu"}
    cfg = OmegaConf.create({"launcher": launcher, "trainer": trainer})
    for name, value in settings.items():
        OmegaConf.update(cfg, name.replace("__", "."), value)
    return cfg


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, (1, 1, None)),
        ({"trainer__devices": 4, "trainer__num_nodes": 2}, (2, 4, None)),
        ({"trainer__devices": 4, "trainer__accelerator": "gpu"}, (1, 4, 4)),
        ({"trainer__devices": -1, "trainer__accelerator": "gpu", "launcher__gpus_per_node": 8}, (1, 8, 8)),
        ({"trainer__accelerator": "gpu", "launcher__gpus_per_node": 0}, (1, 1, None)),
    ],
)
def test_resources_follow_the_trainer(settings: dict[str, Any], expected: tuple[Any, ...]) -> None:
    parameters = sbatch_parameters(configuration(**settings))

    assert (parameters["nodes"], parameters["ntasks_per_node"], parameters.get("gpus_per_node")) == expected


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"launcher__timeout_min": 0}, "launcher.timeout_min"),
        ({"launcher__mem_gb": -1}, "launcher.mem_gb"),
        ({"trainer__devices": -1}, "launcher.gpus_per_node"),
        ({"launcher__requeues": -1}, "launcher.requeues"),
    ],
)
def test_bad_resources_are_refused(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        sbatch_parameters(configuration(**settings))


def test_first_node_without_a_name_is_found_by_its_address(commands: Any) -> None:
    commands("scontrol", "NodeName=node3 NodeAddr=10.1.2.3 NodeHostName=node3\n")
    environment = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "node-invalid[3-4]"}

    launch.name_first_node(environment)

    assert environment["MASTER_ADDR"] == "10.1.2.3"


@pytest.mark.parametrize(
    "environment",
    [{}, {"SLURM_STEP_NUM_TASKS": "2", "SLURM_STEP_NODELIST": "localhost"}],
    ids=["one process", "a name that resolves"],
)
def test_address_is_left_alone(environment: dict[str, str]) -> None:
    launch.name_first_node(environment)

    assert "MASTER_ADDR" not in environment
