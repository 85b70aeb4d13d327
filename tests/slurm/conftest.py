"""A throw-away SLURM cluster on this machine, for all tests of this folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_data import write_own_data
from tests.slurm.cluster import SCRIPT, Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Two nodes of one CPU each."""
    if os.geteuid() != 0:
        pytest.skip("a SLURM cluster on one machine needs root")
    missing = subprocess.run([SCRIPT, "missing"], capture_output=True, text=True, check=True).stdout.split()
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}; `make test-slurm` installs them")
    folder = Path(tempfile.mkdtemp(prefix="slurm-"))  # munge takes only short paths
    port = os.environ.get("SLURM_LOCAL_PORT", "17800")
    environment = {
        **os.environ,
        "SLURM_LOCAL": str(folder),
        "SLURM_LOCAL_PORT": port,
        "SLURM_LOCAL_CPUS": "1",
    }
    log = folder / "start.log"
    try:
        with log.open("wb") as output:
            started = subprocess.run(
                [SCRIPT, "start"], env=environment, check=False, stdout=output, stderr=output, timeout=150
            )
        assert started.returncode == 0, f"the cluster did not start:\n{log.read_text()}"
        data = write_own_data(tmp_path_factory.mktemp("data") / "numbers")
        yield Cluster(folder, data, tmp_path_factory.mktemp("cache"), port)
    finally:
        subprocess.run([SCRIPT, "stop"], env=environment, check=False, timeout=60)
        shutil.rmtree(folder, ignore_errors=True)
