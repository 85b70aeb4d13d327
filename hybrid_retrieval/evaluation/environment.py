"""What an evaluation ran on."""

import platform
from importlib import metadata
from typing import Any

import torch

PACKAGES = ("hybrid-retrieval", "torch", "transformers", "tokenizers", "numpy", "pyarrow")


def environment() -> dict[str, Any]:
    """Versions and hardware; nothing that names a user, a host or a folder."""
    cuda = torch.cuda.is_available()
    return {
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in PACKAGES},
        "system": platform.system(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name() if cuda else "cpu",
    }
