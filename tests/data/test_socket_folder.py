"""Loader workers hand over their batches whatever the length of TMPDIR."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from hybrid_retrieval.data import socket_folder
from hybrid_retrieval.data.socket_folder import keep_socket_paths_short
from hybrid_retrieval.errors import UserError
from tests.processes import ROOT

# 100 tensors: more than a pipe's buffer would hold, each through a socket.
LOAD = """
import torch
from torch.utils.data import DataLoader
from hybrid_retrieval.data.socket_folder import keep_socket_paths_short
keep_socket_paths_short()
loader = DataLoader([torch.full((1000,), i) for i in range(100)], batch_size=None, num_workers=2, timeout=60)
print(sum(int(row[0]) for row in loader))
"""


@pytest.mark.parametrize("length", [40, 71, 72, 150])
def test_batches_arrive(tmp_path: Path, length: int) -> None:
    short = Path(tempfile.mkdtemp(dir="/tmp"))
    folder = short / ("x" * (length - len(str(short)) - 1))
    folder.mkdir()
    done = subprocess.run(
        [sys.executable, "-c", LOAD],
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    left = list(folder.iterdir())
    folder.rmdir()
    short.rmdir()

    assert (done.returncode, done.stdout.strip()) == (0, "4950"), done.stderr
    assert left == []


def test_no_short_folder_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/" + "x" * 100)
    monkeypatch.setattr(socket_folder, "_SHORT", ("/no/such/folder",))
    with pytest.raises(UserError, match=r"TMPDIR=/x+ is too long .* at most 71 bytes, or data\.workers=0"):
        keep_socket_paths_short()
