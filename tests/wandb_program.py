"""W&B's own program reads back what a run logged."""

import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from packaging.version import Version

PROGRAM = Path(sys.executable).with_name("wandb")


def inspected(run: Path, *options: str) -> str:
    """What `wandb leet inspect --json` prints about the folder of a run; skips where W&B is too old."""
    if Version(metadata.version("wandb")) < Version("0.31"):
        pytest.skip("before 0.31 wandb does not print a run as JSON")
    (file,) = run.glob("*.wandb")
    command: list[str | Path] = [PROGRAM, "leet", "inspect", file, *options, "--json"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
