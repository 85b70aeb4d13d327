"""A throw-away SLURM cluster on this machine, for all tests of this folder."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.own_data import write_own_data
from tests.slurm.cluster import Cluster

SCRIPT = Path(__file__).with_name("local_cluster.sh")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    if os.geteuid() != 0:
        pytest.skip("a SLURM cluster on one machine needs root")
    missing = subprocess.run([SCRIPT, "missing"], capture_output=True, text=True, check=True).stdout.split()
    if missing:
        pytest.skip(
            f"not installed: {', '.join(missing)} (Debian: apt-get install --no-install-recommends "
            "slurm-wlm munge slurmdbd mariadb-server)"
        )
    folder = tempfile.mkdtemp(prefix="slurm-")  # munge takes only short paths
    port = os.environ.get("SLURM_LOCAL_PORT", "17800")
    environment = {**os.environ, "SLURM_LOCAL": folder, "SLURM_LOCAL_PORT": port}
    try:
        log = Path(folder, "start.log")
        with log.open("wb") as output:
            subprocess.run([SCRIPT, "start"], env=environment, check=True, stdout=output, stderr=output)
        data = write_own_data(tmp_path_factory.mktemp("data") / "numbers")
        cache = tmp_path_factory.mktemp("cache")
        yield Cluster(Path(folder), data, cache)
    finally:
        subprocess.run([SCRIPT, "stop"], env=environment, check=False)
        shutil.rmtree(folder, ignore_errors=True)
