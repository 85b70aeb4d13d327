"""One process that all command lines of these tests are forked from."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.reliability.forked_runs import ForkedRuns


@pytest.fixture(scope="session")
def forked(command_cache: Path) -> Iterator[ForkedRuns]:
    with ForkedRuns({"HYBRID_RETRIEVAL_CACHE": str(command_cache)}) as runs:
        yield runs
