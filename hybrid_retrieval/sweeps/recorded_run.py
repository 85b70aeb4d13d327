"""The record of a run, kept from its first moment to its last, whatever ends it."""

import json
import logging
import os
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hybrid_retrieval.errors import RunFailedError, StorageError, UserError
from hybrid_retrieval.security.log_records import safe
from hybrid_retrieval.storage_errors import storage_errors_explained
from hybrid_retrieval.sweeps.run_record import RUN_RECORD, RunRecord
from hybrid_retrieval.training.run_lock import locked
from hybrid_retrieval.training.signals import ended_by_signals

METRICS = "metrics.json"
SETTINGS = ("monolingual", "cross_lingual", "multilingual")

logger = logging.getLogger(__name__)


@contextmanager
def recorded_run(folder: Path, record: RunRecord, *, resume: bool | str) -> Iterator[None]:
    """Run the body with `run.json` saying `running`, and afterwards how it ended.

    The folder is locked meanwhile: the lock ends with the process, however that ends.

    Args:
        folder: of the run.
        record: of a run that starts now; goes on with the one in the folder.
        resume: of the configuration.

    Raises:
        UserError: the folder holds another run, or another process is at it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = RunRecord.read(folder)
    check_same_run(folder, before, record.hash, resume=resume)
    with locked(folder, "run"), ended_by_signals():
        started = time.monotonic()
        if before is not None and before.hash == record.hash and resume:
            record.continue_from(before)
        record.write(folder)
        try:
            with storage_errors_explained(folder):
                yield
        except BaseException as error:
            state, reason = how_it_ended(error)
            _write_traceback(error)
            by_mistake = isinstance(error, UserError)
            with suppress(StorageError):  # there may be no room for that either
                _end(folder, record, started, state=state, reason=reason, user_error=by_mistake)
            raise
        _end(folder, record, started, state="finished", reason=None)


def check_same_run(folder: Path, before: RunRecord | None, hash_: str, *, resume: bool | str) -> None:
    """Refuse to write into the folder of another run.

    Args:
        folder: of the run.
        before: the record in it.
        hash_: of the configuration that is to run.
        resume: of the configuration; `True` goes on with whatever is there.

    Raises:
        UserError: it holds a run of another configuration.
    """
    if resume is True:
        return
    if before is not None and before.hash != hash_:
        raise UserError(
            f"{folder} holds another run ({before.state}, configuration {before.hash}, this one is {hash_}). "
            "Choose another folder with hydra.run.dir=... (a sweep: hydra.sweep.dir=...), or remove it."
        )
    if resume == "auto" and before is None and (folder / "checkpoints" / "last.ckpt").is_file():
        raise UserError(
            f"{folder} holds a checkpoint of a run that {RUN_RECORD} says nothing of. Go on from it with "
            "resume=true if it is of this configuration, or remove the folder."
        )


def how_it_ended(error: BaseException) -> tuple[str, str]:
    """The state and the reason, one line, of a run that an exception ended."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        return "stopped", "interrupted"
    if isinstance(error, SystemExit):
        left = "terminated" if error.code is None else f"left with exit status {error.code}"
        return "stopped", getattr(error, "reason", left)
    text = safe(" ".join(str(error).split()))
    explained = isinstance(error, UserError | RunFailedError)
    return "failed", text if explained else f"{type(error).__name__}: {text}"


def _end(
    folder: Path,
    record: RunRecord,
    started: float,
    *,
    state: str,
    reason: str | None,
    user_error: bool = False,
) -> None:
    """Write how it ended into the record that the callback of the run kept up to date."""
    now = RunRecord.read(folder) or record
    if state == "stopped" and now.state != "running":
        state, reason = now.state, now.reason  # who stopped it has said why
    now.state, now.reason, now.user_error = state, reason, user_error  # type: ignore[assignment]
    now.seconds = record.seconds + time.monotonic() - started
    now.result = headline(folder) if state == "finished" else {}
    if folder.is_dir():
        now.write(folder)


def headline(folder: Path) -> dict[str, float]:
    """mAP of the three settings and the rank distance in `metrics.json`; those that are there."""
    try:
        metrics = json.loads((folder / METRICS).read_bytes())
        found = {name: metrics[name]["map"] for name in SETTINGS}
        found["rank_distance"] = metrics["language_bias"]["rank_distance"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {name: float(value) for name, value in found.items() if value is not None}


def _write_traceback(error: BaseException) -> None:
    """What ended the run into its log file; the console gets one line of the sweep's."""
    if isinstance(error, KeyboardInterrupt | SystemExit):
        return
    explained = isinstance(error, UserError | RunFailedError)
    text = str(error) if explained else "".join(traceback.format_exception(error))
    line = logging.LogRecord(logger.name, logging.ERROR, __file__, 0, "%s", (text,), None)
    for handler in logging.getLogger().handlers:
        if isinstance(handler, logging.FileHandler):
            handler.handle(line)


def is_first_process() -> bool:
    """Whether this is the first of the processes of a run, the one that keeps the record."""
    for name in ("RANK", "SLURM_PROCID", "LOCAL_RANK", "NODE_RANK"):
        if os.environ.get(name, "0") != "0":
            return False
    return True
