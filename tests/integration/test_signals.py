"""A training that is stopped from outside says so by its exit status, and can go on."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from tests.own_data import own_data_overrides

# A shell that runs the tests in the background lets them and their children ignore SIGINT.
COMMAND = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from hybrid_retrieval.cli import main; main()"
)


def test_stopped_training_does_not_count_as_a_success(
    own_data: Path, command_cache: Path, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "checkpoints" / "last.ckpt"
    overrides = [
        "trainer.max_steps=100000",
        "trainer.checkpoint_every_n_steps=2",
        "trainer.val_check_interval=null",
    ]
    with subprocess.Popen(
        [
            *(sys.executable, "-c", COMMAND, "train", *own_data_overrides(own_data), *overrides),
            f"hydra.run.dir={tmp_path}",
        ],
        env={**os.environ, "HYBRID_RETRIEVAL_CACHE": str(command_cache), "OMP_NUM_THREADS": "1"},
        stderr=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        text=True,
    ) as run:
        try:
            end = time.monotonic() + 120
            while not checkpoint.exists() and run.poll() is None and time.monotonic() < end:
                time.sleep(0.05)
            run.send_signal(signal.SIGINT)
            _, stderr = run.communicate(timeout=120)
        finally:
            run.kill()

    assert run.returncode == 128 + signal.SIGINT, stderr
    assert "Traceback" not in stderr
    assert checkpoint.is_file()
    assert not (tmp_path / "model").exists()
