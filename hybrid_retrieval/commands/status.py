"""`hybrid-retrieval status`: how far the runs of sweeps are."""

import time
from pathlib import Path

from omegaconf import DictConfig
from rich.console import Console
from rich.live import Live

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.reporting.status import Status, read_status, status_table

DEFAULT_FOLDERS = (Path("outputs", "sweeps"), Path("outputs", "multirun"))
_WIDTH = 140  # columns, where the output is no terminal


def run(cfg: DictConfig) -> None:
    """Print a table of the runs in the folders and below them, once or until none runs or waits.

    Args:
        cfg: `conf/status.yaml`: `runs` (folders; none: `outputs/sweeps` and `outputs/multirun`) and `watch`
            (seconds between two looks, None for one look).

    Raises:
        UserError: no such folder, no runs, or an interval that is none.
    """
    watch = cfg.watch
    if watch is not None and (isinstance(watch, bool) or not isinstance(watch, int | float) or watch <= 0):
        raise UserError(f"watch={watch} must be a number of seconds above 0, or null for one look.")
    given = [Path(folder) for folder in cfg.runs]
    if missing := [folder for folder in given if not folder.is_dir()]:
        raise UserError(f"{missing[0]}: no such folder. Give run folders, or those of sweeps.")
    folders = given or [folder for folder in DEFAULT_FOLDERS if folder.is_dir()]
    status = read_status(folders)
    if not status.sweeps and not status.unreadable:
        where = ", ".join(str(folder) for folder in given or DEFAULT_FOLDERS)
        raise UserError(
            f"{where}: no runs there. A run has a run.json from its start; give the folder of a sweep: "
            "hybrid-retrieval status <folder>"
        )
    console = Console()
    if not console.is_terminal:
        console = Console(width=_WIDTH)
    if watch is None:
        console.print(status_table(status), soft_wrap=False)
    else:
        _watch(console, folders, status, watch)


def _watch(console: Console, folders: list[Path], status: Status, seconds: float) -> None:
    """Redraw until nothing runs or waits, or the user interrupts; the last table stays."""
    try:
        with Live(status_table(status), console=console, auto_refresh=False) as live:
            while not status.is_done:
                time.sleep(seconds)
                status = read_status(folders)
                live.update(status_table(status), refresh=True)
    except KeyboardInterrupt:
        return
