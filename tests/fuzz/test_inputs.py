"""Every reader of a user's files, on damaged ones: it reads them, or says in one line what is wrong where."""

import os
import zlib
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.fuzz.bombs import BOMBS
from tests.fuzz.runner import Case, Outcome, tried
from tests.fuzz.targets import TARGETS

QUICK_EACH = 6
QUICK_BOMBS = 12
EACH = int(os.environ.get("FUZZ_EACH", "250"))
"""Damaged folders of each target in the slow test; together more than 10,000."""
SEED = int(os.environ.get("FUZZ_SEED", "0"))
"""The first seed: another one tries other damage."""
_MEMORY = Path("/dev/shm")  # thousands of folders are written, which a disk need not see


def check(cases: Sequence[Case]) -> None:
    with TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as place:
        outcomes = list(tried(cases, Path(place) / "place"))
    print(table(outcomes))
    findings = [outcome for outcome in outcomes if outcome.finding]
    shown = "\n".join(f"{of.case}: {of.outcome}: {of.done}: {of.said[:500]!r}" for of in findings[:20])
    assert not findings, f"{len(findings)} findings in {len(outcomes)} inputs\n{shown}"
    assert len(outcomes) == len(cases)


def table(outcomes: Iterable[Outcome]) -> str:
    counts: dict[str, Counter[str]] = {}
    for of in outcomes:
        kind = "findings" if of.finding else of.outcome
        counts.setdefault(of.case[0], Counter())[kind] += 1
    rows = [f"{'input':32}{'tried':>8}{'read':>8}{'refused':>8}{'findings':>9}"]
    for name, of in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        rows.append(f"{name:32}{of.total():8}{of['read']:8}{of['refused']:8}{of['findings']:9}")
    return "\n".join(rows)


def test_some_damage_to_every_input_and_some_bombs() -> None:
    """The bombs are those whose names come first by a hash: some of every kind and reader."""
    bombs = sorted(BOMBS, key=lambda name: zlib.crc32(name.encode()))[:QUICK_BOMBS]
    damaged = [(name, seed) for name in TARGETS for seed in range(QUICK_EACH)]
    check([*damaged, *((BOMBS[name].target, name) for name in bombs)])


@pytest.mark.slow
def test_much_damage_to_every_input() -> None:
    check([(name, SEED + seed) for name in TARGETS for seed in range(EACH)])


@pytest.mark.slow
def test_all_bombs() -> None:
    check([(bomb.target, name) for name, bomb in BOMBS.items()])
