"""Files of `torch.save`, read by torch's restricted unpickler: tensors and plain values, nothing to run."""

import pickle
from pathlib import Path
from typing import Any

import torch

from hybrid_retrieval.errors import UserError


def read_tensors(file: Path, what_to_do: str, *, mapped: bool = False) -> Any:
    """The content of a file of `torch.save`, on the CPU.

    Args:
        file: a checkpoint or a file of weights.
        what_to_do: the end of the messages.
        mapped: whether tensors are left on disk until they are used.

    Raises:
        UserError: it holds other objects than tensors and plain values, or is damaged.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        # Not torch's own message, which ends in how to load the file all the same.
        raise UserError(
            f"{file} is not a plain file of weights or a checkpoint of hybrid-retrieval: it holds Python "
            f"objects that could run code when they are read, and is not loaded. {what_to_do}"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(f"{file} cannot be read: {reason}. {what_to_do}") from error
