"""The processes of one job of SLURM: the first one returns the result, the others end after it."""

import os
import sys
import time

from hydra.core.utils import JobReturn, JobStatus

from hybrid_retrieval.security.log_records import safe

_SECONDS = 10.0


def is_first_task() -> bool:
    """Whether this process is the first of those that SLURM started for a job."""
    return os.environ.get("SLURM_PROCID", "0") == "0"


def wait_for_first_task(found: JobReturn) -> None:
    """Wait in another process until the first one has written its result.

    srun ends the job a minute after the first process that ends (`--wait`), so that none waits for ever for
    one that failed; the first one evaluates when the others have nothing more to do.

    Args:
        found: by this process. If it failed, the job ends, unless the first one ends by itself at once.

    Raises:
        SystemExit: with 1, it failed.
    """
    from submitit import JobEnvironment  # noqa: PLC0415 (an extra)
    from submitit.core.utils import JobPaths  # noqa: PLC0415

    failed = found.status is JobStatus.FAILED
    environment = JobEnvironment()
    first = JobPaths(os.environ["SUBMITIT_FOLDER"], job_id=environment.job_id, task_id=0)
    until = time.monotonic() + _SECONDS
    while not first.result_pickle.exists() and not (failed and time.monotonic() > until):
        time.sleep(1)
    if failed:
        sys.stderr.write(safe(f"process {environment.global_rank} failed: {found._return_value!r}\n"))
        raise SystemExit(1)
