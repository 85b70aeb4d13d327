"""The terminal table of `hybrid-retrieval status`: sweeps and their runs, newest first."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.box import SIMPLE_HEAD
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from hybrid_retrieval.reporting.planned_jobs import PLAN, not_started
from hybrid_retrieval.reporting.run_states import STATES, RunState, count, run_folders, run_states
from hybrid_retrieval.sweeps.run_record import RUN_RECORD, RunRecord

_STYLES = {"finished": "green", "failed": "bold red", "lost?": "red", "stopped": "yellow", "running": "cyan"}
_VALIDATED = ("val_retrieval/map_multilingual", "val/map_multilingual")
_EVALUATED = "multilingual"
_COLUMNS = ("where", "step", "done", "pairs/s", "left", "best", "val loss", "val mAP", "mAP")
_FIRST_TO_GO = ("where", "step", "val loss", "pairs/s", "val mAP", "best")
_TOLD_BY_BEST = {"val/loss": "val loss", **dict.fromkeys(_VALIDATED, "val mAP")}
_BETTER = {"min": "lower is better", "max": "higher is better"}
_LABEL = 32
_LEFT = ("running", "waiting", "stopped", "lost?")


@dataclass(frozen=True)
class SweepStatus:
    """The runs whose folders lie side by side.

    Attributes:
        folder: of the sweep.
        runs: by label, those that have not started last.
    """

    folder: Path
    runs: tuple[RunState, ...]

    @property
    def newest(self) -> float:
        """Seconds since 1970 of the last start of a run."""
        return max((run.record.started for run in self.runs if run.record), default=0.0)


@dataclass(frozen=True)
class Status:
    """All that was found below some folders.

    Attributes:
        sweeps: newest first.
        unreadable: folders whose `run.json` is torn or of something else.
    """

    sweeps: tuple[SweepStatus, ...]
    unreadable: tuple[Path, ...] = ()

    @property
    def runs(self) -> list[RunState]:
        """Of all sweeps."""
        return [run for sweep in self.sweeps for run in sweep.runs]

    @property
    def is_done(self) -> bool:
        """Whether nothing runs or waits."""
        return not count(self.runs, ("running", "waiting"))


def read_status(folders: Sequence[Path]) -> Status:
    """The state of every run in the folders or below them, each once."""
    found = dict.fromkeys(run.absolute() for folder in folders for run in run_folders(folder))
    states, unreadable = run_states(found)
    sweeps: dict[Path, list[RunState]] = {}
    for state in states:
        sweeps.setdefault(state.folder.parent, []).append(state)
    for plan in (plan for folder in folders for plan in (folder.absolute() / PLAN,) if plan.is_file()):
        sweeps.setdefault(plan.parent, [])  # none of its jobs has started yet
    for sweep, runs in sweeps.items():
        runs.sort(key=lambda run: run.label)
        if not any(folder.absolute() == run.folder for folder in folders for run in runs):
            labels = not_started(sweep, [(run.folder, run.label) for run in runs])
            runs += [RunState(sweep, label, "waiting") for label in labels]
    told = [SweepStatus(sweep, tuple(runs)) for sweep, runs in sweeps.items() if runs]
    return Status(tuple(sorted(told, key=lambda sweep: -sweep.newest)), tuple(unreadable))


def status_table(status: Status) -> RenderableType:
    """One table a sweep, the reasons and totals below it, and the records that could not be read."""
    parts: list[RenderableType] = []
    for sweep in status.sweeps:
        parts += [Text(str(sweep.folder), style="bold"), _Runs(sweep)]
        parts += [
            Text(f"{run.label}: {run.state} {run.reason}", style=_STYLES.get(run.state, ""))
            for run in sweep.runs
            if run.reason and run.state != "finished"
        ]
        parts += [Text(line) for line in (best_so_far(sweep.runs), totals(sweep.runs)) if line]
        parts.append(Text(""))
    if len(status.sweeps) > 1:
        parts.append(Text(f"All: {totals(status.runs)}"))
    parts += [
        Text(f"skipped: {folder / RUN_RECORD} cannot be read as the record of a run", style="yellow")
        for folder in status.unreadable
    ]
    return Group(*parts)


def best_so_far(runs: Sequence[RunState]) -> str:
    """The best value of the metric that the runs watch, and whose it is; "" where they watch several."""
    watched = _watched_by_all(runs)
    values = [(v, run.label) for run in runs if run.record and (v := _best(run.record)) is not None]
    if watched is None or not values:
        return ""
    name, mode = watched
    value, label = (min if mode == "min" else max)(values, key=lambda one: one[0])
    return f"best so far of {name}, {_BETTER[mode]}: {value:.4f} ({label})"


def totals(runs: Sequence[RunState]) -> str:
    """How many runs are in which state, how many are left to do, and the best evaluated one."""
    counts = [f"{count(runs, (state,))} {state}" for state in STATES if count(runs, (state,))]
    number = "1 run" if len(runs) == 1 else f"{len(runs)} runs"
    text = f"{number}: {', '.join(counts)}; {count(runs, _LEFT)} to do"
    scores = [
        (run.record.result[_EVALUATED], run.label)
        for run in runs
        if run.record is not None and _EVALUATED in run.record.result
    ]
    if scores:
        score, label = max(scores, key=lambda one: one[0])
        text += f"; best multilingual mAP {score:.4f} ({label})"
    return text


class _Runs:
    """The table of one sweep, in as many columns as the terminal has room for beside the labels."""

    def __init__(self, sweep: SweepStatus) -> None:
        self.sweep = sweep

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        watched = _watched_by_all(self.sweep.runs)
        cells = [_cells(run.record, run.state) if run.record else {} for run in self.sweep.runs]
        if watched is None:
            for run, row in zip(self.sweep.runs, cells, strict=True):
                row["best"] = _best_and_name(run.record)
        longest = max(len(run.label) for run in self.sweep.runs)
        widths = {name: max(len(name), *(len(row.get(name, "")) for row in cells)) for name in _COLUMNS}
        if not any(row.get("best") for row in cells):
            del widths["best"]
        elif watched is not None:
            widths.pop(_TOLD_BY_BEST.get(watched[0], ""), None)
        for name in filter(widths.__contains__, _FIRST_TO_GO):
            if sum(widths.values()) + 2 * len(widths) + 12 + min(longest, _LABEL) <= options.max_width:
                break
            del widths[name]
        table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
        table.add_column("run", overflow="fold")
        table.add_column("state", no_wrap=True)
        for name in widths:
            table.add_column(name, justify="left" if name == "where" else "right", no_wrap=True)
        for run, row in zip(self.sweep.runs, cells, strict=True):
            state = Text(run.state, style=_STYLES.get(run.state, "dim"))
            table.add_row(Text(run.label), state, *(Text(row.get(name, "")) for name in widths))
        yield table


def _cells(record: RunRecord, state: str) -> dict[str, str]:
    """What the columns tell of a run."""
    speed = record.pairs_per_second
    validated = next((record.best[name] for name in _VALIDATED if name in record.best), None)
    return {
        "where": f"job {record.slurm_job}" if record.slurm_job else record.host.partition(".")[0],
        "step": f"{record.step}/{record.max_steps}" if record.max_steps else "",
        "done": f"{100 * record.step // record.max_steps}%" if record.max_steps else "",
        "pairs/s": "" if speed is None else f"{speed:.0f}" if speed >= 10 else f"{speed:.2g}",
        "left": _left(record) if state == "running" else "",
        "best": _number(_best(record)),
        "val loss": _number(record.best.get("val/loss")),
        "val mAP": _number(validated),
        "mAP": _number(record.result.get(_EVALUATED)),
    }


def _watched_by_all(runs: Sequence[RunState]) -> tuple[str, str] | None:
    """The metric that all runs watch and its mode; None where they differ, or watch none yet."""
    found = {(run.record.watched, run.record.watched_mode) for run in runs if run.record is not None}
    named = [(name, mode) for name, mode in found if name is not None]
    return named[0] if len(named) == 1 else None


def _best(record: RunRecord) -> float | None:
    """The best value so far of the metric that the run watches."""
    return None if record.watched is None else record.best.get(record.watched)


def _best_and_name(record: RunRecord | None) -> str:
    value = _best(record) if record is not None else None
    return "" if record is None or value is None else f"{record.watched} {value:.4f}"


def _left(record: RunRecord) -> str:
    """Time of the steps that are left, `h:mm:ss`; what comes after the last one has no steps to tell by."""
    if not record.max_steps:
        return "starting"
    steps = record.max_steps - record.step
    if steps <= 0:
        return "evaluating"
    if not record.steps_per_second or record.steps_per_second <= 0:
        return ""
    minutes, seconds = divmod(round(steps / record.steps_per_second), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
