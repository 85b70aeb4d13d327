"""The tables of a sweep's jobs: what they will be, and what became of them."""

from collections.abc import Sequence

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from hybrid_retrieval.sweeps.estimate import Estimate
from hybrid_retrieval.sweeps.job import Job
from hybrid_retrieval.sweeps.job_state import state_of
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.training.time_estimate import duration

_NARROWEST = 100  # columns; where the output is no terminal rich would take 80
_STYLES = {"finished": "green", "failed": "bold red", "stopped": "yellow", "running": "cyan"}
_MEASURES = {
    "monolingual": "mAP mono",
    "cross_lingual": "mAP cross",
    "multilingual": "mAP multi",
    "rank_distance": "rank dist.",
}


def print_results(jobs: Sequence[Job], records: Sequence[RunRecord | None]) -> None:
    """All jobs: state, headline numbers, time; then the reason of each that is not finished."""
    table = _table(jobs, "job", "state", *_MEASURES.values(), "time")
    for job, record in zip(jobs, records, strict=True):
        if record is None:
            table.add_row(Text(job.name), "not started", *[""] * (len(_MEASURES) + 1))
            continue
        numbers = [_number(record.result.get(name)) for name in _MEASURES]
        state = Text(record.state, style=_STYLES[record.state])
        table.add_row(Text(job.name), state, *numbers, duration(record.seconds) if record.seconds else "")
    console = console_for(table)
    console.print(table)
    counts = [record.state if record else "not started" for record in records]
    told = ", ".join(f"{counts.count(state)} {state}" for state in dict.fromkeys(counts))
    console.print(escape(f"{told}; in {jobs[0].sweep_folder}"), soft_wrap=True, highlight=False)
    for job, record in zip(jobs, records, strict=True):
        if record is not None and record.state != "finished":
            reason = record.reason or "another process is at it"
            console.print(Text(f"{job.name}: {record.state}: {reason}"), soft_wrap=True)
    if "failed" in counts:
        console.print("Tracebacks are in train.log of the folders. --rerun-failed runs failed jobs again.")
    if "stopped" in counts or "not started" in counts:
        console.print("The same line goes on with the jobs that are not finished.")


def print_plan(jobs: Sequence[Job], estimates: Sequence[Estimate]) -> None:
    """All jobs: hash, state and estimated time; then the sum and what it rests on. Writes nothing."""
    table = _table(jobs, "job", "hash", "state", "estimated time")
    left = []
    for job, estimate in zip(jobs, estimates, strict=True):
        state = state_of(job)
        if state.name != "finished":
            left.append(estimate)
        time = "" if state.name == "finished" else _time(estimate.seconds)
        table.add_row(Text(job.name), job.hash, str(state), time)
    console = console_for(table)
    console.print(table)
    console.print(f"{len(jobs)} jobs, {len(left)} to run or to go on; in ", end="")
    console.print(Text(str(jobs[0].sweep_folder)), soft_wrap=True)
    known = [one for one in left if one.seconds is not None]
    if left:
        parts = [duration(sum(one.seconds or 0.0 for one in known))] if known else []
        parts += [f"unknown for {len(left) - len(known)} jobs"] if len(known) < len(left) else []
        console.print(
            f"Time one after another: {', '.join(parts)}{_device_hours(known)}.",
            soft_wrap=True,
            highlight=False,
        )
    for basis in dict.fromkeys(one.basis for one in left):
        console.print(Text(f"Basis: {basis}."), soft_wrap=True)
    console.print("Failed jobs run again with --rerun-failed only; nothing was written.")


def _device_hours(estimates: Sequence[Estimate]) -> str:
    """Hours of each kind of device, in words."""
    hours: dict[str, float] = {}
    for one in estimates:
        if one.devices is not None and one.seconds is not None:
            hours[one.device] = hours.get(one.device, 0.0) + one.devices * one.seconds / 3600
    return "".join(f"; {value:.3g} {kind} hours" for kind, value in hours.items())


def _table(jobs: Sequence[Job], *columns: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)
    for number, name in enumerate(columns):
        justify = "right" if name in _MEASURES.values() or "time" in name else "left"
        width = max((len(job.name) for job in jobs), default=0) if number == 0 else None
        table.add_column(name, justify=justify, no_wrap=True, min_width=width)  # type: ignore[arg-type]
    return table


def console_for(table: Table) -> Console:
    """Where to print a table: as wide as it needs, unless that is a terminal."""
    console = Console()
    if console.is_terminal:
        return console
    return Console(width=max(_NARROWEST, Console(width=500).measure(table).maximum))


def _time(seconds: float | None) -> str:
    return "unknown" if seconds is None else duration(seconds)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}" if value <= 1 else f"{value:.1f}"
