"""Run folders with records, and what `status` reads of them."""

import json
from pathlib import Path
from typing import Any

from rich.console import Console

from hybrid_retrieval.reporting.status import read_status, status_table
from hybrid_retrieval.sweeps.run_record import RUN_RECORD, RunRecord


def write_run(folder: Path, *, ago: float = 0.0, **fields: Any) -> Path:
    """A run folder whose record was last written `ago` seconds ago."""
    folder.mkdir(parents=True)
    record = RunRecord("0" * 12, folder.name, **{"slurm_job": None, **fields})
    record.write(folder)
    content = json.loads((folder / RUN_RECORD).read_text(encoding="utf-8"))
    content["updated"] -= ago
    (folder / RUN_RECORD).write_text(json.dumps(content), encoding="utf-8")
    return folder


def shown(folder: Path) -> str:
    console = Console(width=140)
    with console.capture() as capture:
        console.print(status_table(read_status([folder])))
    return capture.get()


def states(folder: Path) -> dict[str, str]:
    return {run.label: run.state for run in read_status([folder]).runs}
