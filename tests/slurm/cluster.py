"""Sweeps on the cluster of the tests, and what is done to their jobs meanwhile."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.own_data import own_data_overrides

SCRIPT = Path(__file__).with_name("local_cluster.sh")


@dataclass(frozen=True)
class Cluster:
    """The cluster, and what its jobs train on."""

    folder: Path
    data: Path
    cache: Path
    port: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{k: v for k, v in os.environ.items() if not k.startswith(("SLURM_", "SBATCH_", "MASTER_"))},
            "SLURM_LOCAL": str(self.folder),
            "SLURM_LOCAL_PORT": self.port,
            "SLURM_CONF": str(self.folder / "slurm.conf"),
            "HYBRID_RETRIEVAL_CACHE": str(self.cache),
            "OMP_NUM_THREADS": "1",
            "COLUMNS": "200",
        }

    def run(self, *command: str) -> str:
        done = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
        return done.stdout

    def arguments(self, folder: Path, *overrides: str) -> list[str]:
        return [
            *(sys.executable, "-m", "hybrid_retrieval", "train", "-m", *own_data_overrides(self.data)),
            *("evaluate=false", "global_batch_size=8", "trainer.log_every_n_steps=1"),
            *("launcher=slurm", "launcher.poll_seconds=1", f"hydra.sweep.dir={folder}", *overrides),
        ]

    @contextmanager
    def sweeping(self, folder: Path, *overrides: str) -> Iterator["Sweep"]:
        """A sweep that a user starts, and that runs while the body does."""
        handle, name = tempfile.mkstemp(dir=self.folder, suffix=".log")
        with (
            os.fdopen(handle, "wb") as log,
            subprocess.Popen(
                # Where the tests themselves run in the background of a script, Ctrl-C is ignored.
                ["env", "--default-signal=INT", *self.arguments(folder, *overrides)],
                env=self.environment,
                stdout=log,
                stderr=subprocess.STDOUT,
            ) as process,
        ):
            sweep = Sweep(process, Path(name))
            try:
                yield sweep
            except BaseException:
                print(sweep.output, self.run("squeue", "--array"), self.run("sinfo", "--Node"), sep="\n")
                self.run("scancel", "--user=root")
                raise
            finally:
                process.kill()

    def jobs(self) -> dict[str, str]:
        """The state of each job in the queue."""
        lines = self.run("squeue", "--noheader", "--array", "--format=%i|%T").splitlines()
        return {line.partition("|")[0]: line.partition("|")[2] for line in lines}

    def node_of(self, job: str) -> str:
        return self.run("squeue", "--noheader", f"--jobs={job}", "--format=%N").strip()

    def pre_empt(self, job: str) -> None:
        """Have a job of the partition `high` ask for the node of a job, whose only CPU that takes."""
        options = ("--partition=high", f"--nodelist={self.node_of(job)}", "--output=/dev/null")
        self.run("sbatch", *options, "--wrap=sleep 1")

    def warn(self, job: str, process: int) -> None:
        """Tell a job what SLURM tells it `launcher.signal_delay_s` before its time is up.

        A limit counts in minutes, so that a test does not wait for one. SLURM 22.05 lets a job be told no
        sooner than half a minute after it has started; scancel tries until then.
        """
        line = f"scancel --signal=USR2 {job}; kill -CONT {process}"
        subprocess.Popen(["sh", "-c", line], env=self.environment, stderr=subprocess.DEVNULL)

    def crash(self, job: str) -> None:
        """Kill all that runs on the node of a job, as a power failure does, and start the node anew."""
        node = self.node_of(job)
        daemon = int((self.folder / "run" / f"slurmd-{node}.pid").read_text())
        processes = [daemon, *self._processes(node)]
        # All at once: none is to see another one die, and to tell the controller.
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in processes:
                os.kill(pid, number)
        # What the controller does itself when a node has not answered for `SlurmdTimeout`.
        self.run("scontrol", "update", f"nodename={node}", "state=down", "reason=crash")
        wait_until(lambda: self.jobs().get(job) != "RUNNING", f"job {job} to leave {node}", 30)
        self.run("slurmd", "-f", str(self.folder / "slurm.conf"), "-N", node)

    def _processes(self, node: str) -> set[int]:
        """Of all jobs of a node, with the daemons that look after them."""
        ours = {f"SLURM_CONF={self.folder}/slurm.conf".encode(), f"SLURMD_NODENAME={node}".encode()}
        found = set()
        for process in Path("/proc").glob("[0-9]*"):
            try:
                if ours <= set((process / "environ").read_bytes().split(b"\0")):
                    found.add(int(process.name))
                    parent = (process / "stat").read_text().rpartition(")")[2].split()[1]
                    if Path("/proc", parent, "comm").read_text().strip() == "slurmstepd":
                        found.add(int(parent))
            except OSError:  # it has ended meanwhile
                continue
        assert found, f"nothing runs on {node}"
        return found


@dataclass(frozen=True)
class Sweep:
    """A line that runs a sweep, in a process of its own."""

    process: subprocess.Popen[bytes]
    log: Path

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        """Wait until it has printed something."""

        def printed() -> bool:
            assert text in self.output or self.process.poll() is None, self.output
            return text in self.output

        wait_until(printed, f"the sweep to print {text!r}")

    def end(self, seconds: float) -> tuple[int, str]:
        """Exit status and output, when it has ended."""
        wait_until(lambda: self.process.poll() is not None, "the sweep to end", seconds)
        return self.process.returncode, self.output


def wait_until(what: Callable[[], Any], meaning: str, seconds: float = 120) -> Any:
    """Wait for something that is true, and give it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if found := what():
            return found
        time.sleep(0.2)
    raise AssertionError(f"waited {seconds:g} s in vain for {meaning}")


def steps(run: Path) -> int:
    """Lines of the training log of a run."""
    return len((run / "train_metrics.csv").read_text(encoding="utf-8").splitlines()) - 1
