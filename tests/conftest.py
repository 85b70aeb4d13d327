"""What every test may rely on: no network, no accounts, one thread, and where the public data lies."""

import os
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("WANDB_MODE", "offline")
os.environ.setdefault("WANDB_SILENT", "true")


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of public data sets that some tests read; it is no part of the project."""
    shared = os.environ.get("HYBRID_RETRIEVAL_SHARED") or Path(__file__).parents[2] / "shared"
    folder = Path(shared) / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the public data sets in {folder} (HYBRID_RETRIEVAL_SHARED names its parent)")
    return folder


@pytest.fixture(scope="session")
def xquad_r_folder(shared_data: Path) -> Path:
    folder = shared_data / "xquad-r"
    if not folder.is_dir():
        pytest.skip(f"needs XQuAD-R in {folder}")
    return folder
