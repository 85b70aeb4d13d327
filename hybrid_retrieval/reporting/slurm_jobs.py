"""Which jobs SLURM has in its queue, by their ids."""

import subprocess
from collections.abc import Collection

from hybrid_retrieval.sweeps.slurm_queue import ENDED

_SECONDS = 10


def slurm_states(jobs: Collection[str]) -> dict[str, str] | None:
    """The state (`PENDING`, `RUNNING`, ...) of the jobs that wait or run; None where SLURM does not answer.

    Args:
        jobs: ids; of a task of an array `17_3`.
    """
    # squeue refuses one id it has forgotten, and passes over it among several; an id of an array brings all
    # of its tasks.
    command = ("squeue", "--noheader", "--array", "--format=%i|%T", f"--jobs={','.join(sorted(jobs))}")
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return {} if "Invalid job id" in done.stderr else None
    found = dict(line.strip().split("|", 1) for line in done.stdout.splitlines() if "|" in line)
    return {job: state for job, state in found.items() if job in jobs and state not in ENDED}
