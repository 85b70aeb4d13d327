"""Scripts of the tests that start processes of their own."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
# Options of a Lightning trainer that only trains, on the CPU.
BARE_TRAINER: dict[str, Any] = {
    "accelerator": "cpu",
    "use_distributed_sampler": False,
    "logger": False,
    "enable_checkpointing": False,
    "enable_progress_bar": False,
    "enable_model_summary": False,
}


def run_module(module: str, *arguments: object, timeout: float = 300) -> None:
    """Run a module of the tests as a script, each of its processes in one thread; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
    assert done.returncode == 0, done.stderr
