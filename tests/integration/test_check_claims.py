"""The check of the study's claims sees a difference that left its bounds, and runs that are missing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

STUDY = Path(__file__).parents[2] / "experiments" / "hybrid_study"
CLAIM = {
    "claim": "cross-lingual batches help in the pool",
    "of": "x_y",
    "minus": "untrained",
    "metric": "multilingual/map",
    "at_least": 0.1,
    "at_most": None,
}


def write(folder: Path, name: str, strategy: str | None, value: float) -> None:
    (folder / name).mkdir()
    run = None if strategy is None else {"strategy": strategy}
    content = {"run": run, "multilingual": {"map": value}, "language_bias": {"rank_distance": 100 * value}}
    (folder / name / "metrics.json").write_text(json.dumps(content), encoding="utf-8")


def check(folder: Path, *claims: dict[str, Any]) -> subprocess.CompletedProcess[str]:
    file = folder / "claims.json"
    file.write_text(json.dumps(claims), encoding="utf-8")
    command = [sys.executable, str(STUDY / "check_claims.py"), str(folder), str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    write(tmp_path, "untrained", None, 0.3)
    write(tmp_path, "x_y-seed1", "x_y", 0.35)
    write(tmp_path, "x_y-seed2", "x_y", 0.49)
    return tmp_path


def test_the_mean_over_seeds_is_compared_with_the_bounds(runs: Path) -> None:
    held = check(runs, CLAIM)
    assert (held.returncode, "= +0.12" in held.stdout, "1 of 1 claims hold" in held.stdout) == (0, True, True)

    ranks = CLAIM | {"metric": "language_bias/rank_distance", "at_least": None, "at_most": 11.0}
    failed = check(runs, CLAIM, ranks, CLAIM | {"at_least": 0.13})
    assert failed.returncode == 1
    assert [line.split()[0] for line in failed.stdout.splitlines()] == ["holds", "FAILS", "FAILS", "1"]


def test_missing_runs_are_named(runs: Path) -> None:
    outcome = check(runs, CLAIM | {"of": "hybrid"})
    assert outcome.returncode == 2
    assert "no metrics.json of hybrid" in outcome.stderr


def test_every_claim_of_the_study_is_complete() -> None:
    claims = json.loads((STUDY / "claims.json").read_text(encoding="utf-8"))
    assert claims
    for claim in claims:
        assert claim.keys() == CLAIM.keys()
        assert claim["at_least"] is not None or claim["at_most"] is not None
