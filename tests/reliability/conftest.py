"""Small disks, and one process that all command lines of these tests are forked from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.forked_runs import ForkedRuns
from tests.reliability.small_disks import SmallDisk, small_disk


@pytest.fixture(scope="session")
def forked(command_cache: Path) -> Iterator[ForkedRuns]:
    with ForkedRuns({"HYBRID_RETRIEVAL_CACHE": str(command_cache)}) as runs:
        yield runs


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 64) as mounted:
        yield mounted


@pytest.fixture
def tiny_disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "disk", 1) as mounted:
        yield mounted
