import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def shared_data() -> Path:
    shared = os.environ.get("HYBRID_RETRIEVAL_SHARED") or Path(__file__).parents[3] / "shared"
    folder = Path(shared) / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the public data sets in {folder} (HYBRID_RETRIEVAL_SHARED names its parent)")
    return folder
