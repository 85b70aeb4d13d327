"""The README's worked example, run as it stands but for the size of the backbone."""

import os
import re
import subprocess
import sys
from pathlib import Path

from hybrid_retrieval.evaluation.results import Results

README = Path(__file__).parents[2] / "README.md"


def _block(start: str) -> str:
    blocks = re.findall(r"```sh\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    return next(block for block in blocks if block.startswith(start))


def test_own_data_example_trains_and_evaluates(tmp_path: Path) -> None:
    script = _block("mkdir -p my-faq").replace(
        "hybrid-retrieval train ", "hybrid-retrieval train backbone=tiny logger=csv hydra.run.dir=run "
    )
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HYBRID_RETRIEVAL_CACHE": str(tmp_path / "cache"),
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        ["bash", "-euc", script], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert [Path(line).name for line in done.stdout.splitlines()[-2:]] == ["model", "metrics.json"]
    metrics = Results.read(tmp_path / "run").metrics
    assert metrics["counts"] == {"queries": {"de": 4, "en": 4}, "candidates": {"de": 4, "en": 4}, "pool": 8}
    assert metrics["run"]["strategy"] == "hybrid"


def test_every_named_file_and_target_exists() -> None:
    text = README.read_text(encoding="utf-8")
    for link in re.findall(r"\]\((?!https?:)([^)]+)\)", text):
        path, _, heading = link.partition("#")
        file = README.parent / path if path else README
        assert file.exists(), link
        if heading:
            titles = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.M)
            assert heading in {re.sub(r"\W+", "-", title.lower()) for title in titles}, link
    targets = set(re.findall(r"^([a-z-]+):", (README.parent / "Makefile").read_text(), flags=re.MULTILINE))
    assert set(re.findall(r"`make ([a-z-]+)", text)) <= targets
