import os
from pathlib import Path

import pytest

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.xquad_r import xquad_r


@pytest.fixture(scope="session")
def xquad_r_folder() -> Path:
    shared = os.environ.get("HYBRID_RETRIEVAL_SHARED") or Path(__file__).parents[3] / "shared"
    folder = Path(shared) / "data" / "xquad-r"
    if not folder.is_dir():
        pytest.skip(f"needs XQuAD-R in {folder} (HYBRID_RETRIEVAL_SHARED names the folder with data/xquad-r)")
    return folder


@pytest.fixture(scope="session")
def xquad_r_benchmark(xquad_r_folder: Path) -> Benchmark:
    return xquad_r(xquad_r_folder)
