from pathlib import Path

import pytest

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.xquad_r import xquad_r


@pytest.fixture(scope="session")
def xquad_r_benchmark(xquad_r_folder: Path) -> Benchmark:
    return xquad_r(xquad_r_folder)
