"""What torchrun or SLURM say of a process that is one of several; imports nothing heavy."""

import re
import socket
import subprocess
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass

from hybrid_retrieval.errors import UserError

FIRST_PORT = 15000


@dataclass(frozen=True)
class Launch:
    """What a launcher says of this process.

    Attributes:
        rank: number of this process, from 0.
        world_size: number of processes.
        local_rank: number of this process on its machine, from 0.
        address: host and port of the process of rank 0, `tcp://host:port`.
    """

    rank: int
    world_size: int
    local_rank: int
    address: str

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> "Launch | None":
        """What the environment variables of torchrun or of a step of SLURM (srun) say; None for one process.

        Raises:
            UserError: a variable is missing or is no number.
        """
        if "TORCHELASTIC_RUN_ID" in environment or {"RANK", "WORLD_SIZE"} <= environment.keys():
            names = ("RANK", "WORLD_SIZE", "LOCAL_RANK")
        elif int(environment.get("SLURM_STEP_NUM_TASKS") or 1) > 1:
            # SLURM_NTASKS is set in a batch script too, where there is one process.
            names = ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS", "SLURM_LOCALID")
        else:
            return None
        try:
            this, world, local = (int(environment[name]) for name in names)
        except (KeyError, ValueError) as error:
            raise UserError(
                f"this process is one of several, but {', '.join(names)} are not all set to numbers "
                f"({error}). Start the processes with torchrun or with srun."
            ) from error
        return cls(this, world, local, _address(environment)) if world > 1 else None


def _address(environment: Mapping[str, str]) -> str:
    """Where rank 0 listens: MASTER_ADDR and MASTER_PORT, else SLURM's first node and a port by job id."""
    nodes = environment.get("SLURM_STEP_NODELIST", "")
    # "node[01-03,07],other" and "node1,node2" begin with their first node.
    first = re.match(r"([^\[,\s]+)(?:\[([^\],-]+))?", nodes)
    host = environment.get("MASTER_ADDR") or ("".join(filter(None, first.groups())) if first else "")
    job = environment.get("SLURM_JOB_ID", "0")
    port = environment.get("MASTER_PORT") or str(FIRST_PORT + int(job[-4:]))
    if not host:
        raise UserError("this process is one of several, but MASTER_ADDR does not name the host of rank 0.")
    return f"tcp://{host}:{port}"


def name_first_node(environment: MutableMapping[str, str]) -> None:
    """Set MASTER_ADDR for a step of SLURM on several processes, where the first node's name does not resolve.

    The address is then what SLURM itself uses for the node (`scontrol show node`).
    """
    if "MASTER_ADDR" in environment or int(environment.get("SLURM_STEP_NUM_TASKS") or 1) < 2:
        return
    address = _address(environment).removeprefix("tcp://").rpartition(":")[0]
    try:
        socket.getaddrinfo(address, None)
    except OSError:
        environment["MASTER_ADDR"] = _address_of_node(address) or address


def _address_of_node(node: str) -> str | None:
    try:
        done = subprocess.run(
            ("scontrol", "--oneliner", "show", "node", node),
            capture_output=True,
            text=True,
            check=True,
            timeout=30,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r"NodeAddr=(\S+)", done.stdout)
    return found[1] if found else None
