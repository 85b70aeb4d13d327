from pathlib import Path

import pytest

from hybrid_retrieval.reporting.comparison import Comparison

from .fake_runs import compare_one, write_study


@pytest.fixture(scope="session")
def study(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six strategies, three seeds of each that is trained, five languages."""
    return write_study(tmp_path_factory.mktemp("study"))


@pytest.fixture(scope="session")
def comparison(study: Path) -> Comparison:
    return compare_one(study)


@pytest.fixture(scope="session")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Comparison:
    """A study whose language codes, model and settings try to leave their place in the page."""
    folder = tmp_path_factory.mktemp("hostile")
    evil = ("<script>alert(1)</script>", "\"><img src=x onerror='alert(2)'>", "en")
    write_study(
        folder,
        ("untrained", "x_x_mono", "hybrid"),
        seeds=1,
        languages=evil,
        questions=12,
        model="<script>alert('model')</script>",
        benchmark="</title><script>alert(3)</script>",
    )
    return compare_one(folder)
