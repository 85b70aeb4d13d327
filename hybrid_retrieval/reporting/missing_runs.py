"""Runs of a sweep that have no result: failed, stopped, or still running."""

import os
from collections.abc import Sequence
from pathlib import Path

from hybrid_retrieval.reporting.runs import METRICS_FILE, SKIPPED_FOLDERS
from hybrid_retrieval.sweeps.run_record import RUN_RECORD, RunRecord

_STATES = {
    "failed": ("failed", "failed"),
    "stopped": ("was stopped", "were stopped"),
    "running": ("is still running", "are still running"),
}
_NAMED = 3


def missing_runs(folders: Sequence[Path]) -> tuple[str, ...]:
    """One sentence for each state in which runs without a metrics.json are; none where every run has one."""
    found: dict[str, dict[Path, RunRecord]] = {}
    for folder in folders:
        for place, subfolders, files in os.walk(folder):
            subfolders[:] = sorted(name for name in subfolders if name not in SKIPPED_FOLDERS)
            if RUN_RECORD in files and METRICS_FILE not in files:
                record = RunRecord.read(Path(place))
                if record is not None:
                    found.setdefault(record.state, {})[Path(place).resolve()] = record
    return tuple(_sentence(state, found[state]) for state in _STATES if state in found)


def _sentence(state: str, runs: dict[Path, RunRecord]) -> str:
    names = [
        f"{record.label or place.name}{f' ({record.reason})' if record.reason else ''}"
        for place, record in runs.items()
    ]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    one, several = _STATES[state]
    count = f"1 run {one} and has" if len(names) == 1 else f"{len(names)} runs {several} and have"
    return f"{count} no result: {', '.join(names[:_NAMED])}{more}."
