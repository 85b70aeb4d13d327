"""Sweeps on the cluster of the tests, and what is done to their jobs meanwhile."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.own_data import own_data_overrides


@dataclass(frozen=True)
class Cluster:
    """The cluster, and what its jobs train on."""

    folder: Path
    data: Path
    cache: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "MASTER_"))},
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "HYBRID_RETRIEVAL_CACHE": str(self.cache),
            "OMP_NUM_THREADS": "1",
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=True, timeout=60
        )
        return done.stdout

    def arguments(self, folder: Path, *overrides: str) -> list[str]:
        return [
            *(sys.executable, "-m", "hybrid_retrieval", "train", "-m", *own_data_overrides(self.data)),
            *("evaluate=false", "global_batch_size=8"),
            *("trainer.val_check_interval=100", "trainer.log_every_n_steps=1"),
            *("trainer.max_steps=300", f"hydra.sweep.dir={folder}", *overrides),
            *([] if "launcher=local" in overrides else ["launcher=slurm", "launcher.poll_seconds=1"]),
        ]

    def sweep(self, folder: Path, *overrides: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.arguments(folder, *overrides),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=150,
        )

    @contextmanager
    def sweeping(self, folder: Path, *overrides: str) -> Iterator[subprocess.Popen[str]]:
        """A sweep that runs while the body does."""
        with subprocess.Popen(
            self.arguments(folder, *overrides),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()
                subprocess.run(["scancel", "--user=root"], env=self.environment, check=False)
                wait_until(lambda: not self.jobs())

    def jobs(self) -> list[tuple[str, str, str]]:
        """Id, state and node of each job in the queue."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i|%T|%N").splitlines()
        return [(job, state, node) for job, state, node in (line.split("|") for line in lines)]


def wait_until(what: Callable[[], Any], seconds: float = 90) -> Any:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := what():
                return found
        except (OSError, ValueError, IndexError, KeyError, StopIteration):
            pass
        time.sleep(0.3)
    raise AssertionError("did not come to pass")


def records(folder: Path) -> Sequence[dict[str, Any]]:
    """`run.json` of each run of a sweep."""
    return [json.loads(file.read_bytes()) for file in sorted(folder.glob("*/run.json"))]


def steps(folder: Path) -> int:
    """Lines of the training log of the first run."""
    return len(next(folder.glob("*/train_metrics.csv")).read_text(encoding="utf-8").splitlines()) - 1
