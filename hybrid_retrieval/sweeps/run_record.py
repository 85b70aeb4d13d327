"""`run.json`, what a run says of itself while it runs and afterwards, for the sweep and for `status`."""

import json
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.security.terminal import plain_content
from hybrid_retrieval.sweeps.slurm_queue import own_job

RUN_RECORD = "run.json"
SCHEMA = 1
State = Literal["running", "finished", "failed", "stopped"]


@dataclass
class RunRecord:
    """The state of a run.

    Attributes:
        hash: of its configuration (`configuration_hash`).
        label: what tells it from the other runs of its sweep, for people.
        state: running; finished, complete with metrics; failed, with a reason; stopped, to be resumed.
        reason: of a failure or of stopping, one line.
        started: seconds since 1970, of the first start.
        updated: of the last change.
        host: where it runs.
        pid: its process.
        slurm_job: its job id, under SLURM; of a task of an array `17_3`.
        restarts: how often it was resumed.
        step: optimiser steps done.
        max_steps: to be done.
        pairs_per_second: trained lately.
        best: name and value of the metric that is watched, and the last ones of validation.
        user_error: of a failure, whether it is a mistake in what was asked for (exit status 2).
        seconds: it ran, all starts together, evaluation included.
        result: headline numbers of metrics.json: mAP of the three settings, and rank_distance.
        cost: what decides how long a step takes (`cost_of`).
        steps_per_second: of training, validation included, since the last start.
        checkpoint_step: from which it would go on; None: there is no checkpoint.
        watched: the metric whose best value `best` holds; None: training has not begun.
        watched_mode: whether the least (min) or the greatest value of it is the best.
    """

    hash: str
    label: str = ""
    state: State = "running"
    reason: str | None = None
    started: float = field(default_factory=time.time)
    updated: float = field(default_factory=time.time)
    host: str = field(default_factory=socket.gethostname)
    pid: int = field(default_factory=os.getpid)
    slurm_job: str | None = field(default_factory=lambda: own_job(os.environ))
    restarts: int = 0
    step: int = 0
    max_steps: int = 0
    pairs_per_second: float | None = None
    best: dict[str, float] = field(default_factory=dict)
    user_error: bool = False
    seconds: float = 0.0
    result: dict[str, float] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    steps_per_second: float | None = None
    checkpoint_step: int | None = None
    watched: str | None = None
    watched_mode: Literal["min", "max"] = "min"

    def continue_from(self, before: "RunRecord") -> None:
        """Take over what an earlier start of the same run has reached."""
        self.started, self.restarts = before.started, before.restarts + 1
        self.step, self.best, self.seconds = before.step, before.best, before.seconds
        self.steps_per_second, self.checkpoint_step = before.steps_per_second, before.checkpoint_step

    @classmethod
    def read(cls, folder: Path) -> "RunRecord | None":
        """The record in a run folder, or None where there is none that can be read."""
        try:
            content: Any = plain_content(json.loads((folder / RUN_RECORD).read_bytes()))
            if not isinstance(content, Mapping) or content.get("schema") != SCHEMA:
                return None
            return cls(**{name: value for name, value in content.items() if name != "schema"})
        except (OSError, ValueError, TypeError):
            return None

    def write(self, folder: Path) -> None:
        """Replace the record in a run folder, at once.

        Raises:
            StorageError: it cannot be written.
        """
        self.updated = time.time()
        content = {"schema": SCHEMA, **asdict(self)}
        with atomic_file(folder / RUN_RECORD) as new:
            new.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
