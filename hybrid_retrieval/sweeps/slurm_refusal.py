"""Why SLURM took no job, for people."""

from collections.abc import Mapping
from typing import Any

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.slurm_queue import partitions

_NAMED = ("partition", "account", "qos", "constraint")


def refusal(error: Exception, parameters: Mapping[str, Any], submitted: int) -> str:
    """One message that names the setting and what may be done.

    Args:
        error: of submitit's.
        parameters: of sbatch.
        submitted: jobs that were taken before.
    """
    text = " ".join(str(error).split())
    before = f" {submitted} jobs were submitted before and go on." if submitted else ""
    if "Could not detect" in text:
        return (
            "launcher=slurm needs SLURM's commands (sbatch, srun, squeue), which are not here: start on a "
            "login node of the cluster, or use launcher=local."
        )
    found = text.rpartition("sbatch: error:")[2].strip(" .") or text
    return f"sbatch refused the jobs: {found}. {_what_to_do(found.lower(), parameters)}{before}"


def _what_to_do(found: str, parameters: Mapping[str, Any]) -> str:
    asked = [f"launcher.{name}={parameters[name]}" for name in _NAMED if name in parameters]
    told = f"Asked for: {', '.join(asked)}." if asked else "No launcher.partition or account was named."
    if "partition" in found and "account" not in found:
        try:
            return f"{told} Partitions here: {', '.join(partitions())}."
        except UserError:
            return told
    if "account" in found or "qos" in found:
        return f"{told} `sacctmgr show associations user=$USER` lists what you may use."
    return f"{told} See launcher.timeout_min, mem_gb, cpus_per_task, gpus_per_node, nodes, additional."
