"""The FAISS library, which is optional: importing it, its errors, its devices.

FAISS runs threads of its own: after a search or an add, a forked child that uses FAISS or torch with more
than one thread can hang. Start processes by spawning, or set one thread in the child.
"""

import importlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hybrid_retrieval.errors import UserError

log = logging.getLogger(__name__)


def import_faiss() -> Any:
    """The module `faiss`.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module("faiss")
    except ImportError as error:
        raise UserError(
            "This index needs FAISS: pip install 'hybrid-retrieval[cpu]', or 'hybrid-retrieval[gpu]' for "
            "NVIDIA GPUs (one of the two, not both). index=exact needs neither."
        ) from error


@contextmanager
def explained(what: str, advice: str = "") -> Iterator[None]:
    """Turn FAISS's exception in the block into a user's mistake.

    Args:
        what: what was tried.
        advice: what to do.

    Raises:
        UserError: FAISS raised RuntimeError; the message holds its reason.
    """
    try:
        yield
    except RuntimeError as error:
        # "Error in <function> at <file>:<line>: Error: '<condition>' failed: <reason>"
        reason = str(error).rsplit("failed: ", 1)[-1].rsplit("Error: ", 1)[-1].strip()
        reason = reason.splitlines()[0].rstrip(".") if reason else "no reason given"
        raise UserError(f"{what}: {reason}. {advice}".rstrip()) from error


def to_device(index: Any, device: str) -> tuple[Any, bool]:
    """Move an index to the first GPU, if there is one and `device` allows it.

    Args:
        index: a FAISS index on the CPU.
        device: auto, cpu or cuda. FAISS leaves on the CPU what it has no GPU form of, such as HNSW.

    Returns:
        The index, and whether it was moved.

    Raises:
        UserError: `device` is cuda and FAISS finds no GPU or cannot move the index; or another word.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise UserError(f"index.device={device} is none of auto, cpu, cuda.")
    faiss = import_faiss()
    gpus = faiss.get_num_gpus() if hasattr(faiss, "get_num_gpus") else 0
    if device == "cuda" and not gpus:
        raise UserError(
            "index.device=cuda, but this FAISS finds no GPU. Install 'hybrid-retrieval[gpu]' in place of "
            "[cpu], or set index.device=auto."
        )
    if device == "cpu" or not gpus:
        return index, False
    try:
        with explained("FAISS cannot put this index on the GPU", "Set index.device=cpu."):
            return faiss.index_cpu_to_gpus_list(index, gpus=[0]), True
    except UserError as error:
        if device == "cuda":
            raise
        log.warning("The index stays on the CPU. %s", error)
        return index, False
