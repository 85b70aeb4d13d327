"""What came of a search: `search.json` and its tables."""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.sweeps.configuration_hash import has_influence
from hybrid_retrieval.sweeps.estimate import Estimate
from hybrid_retrieval.sweeps.job_table import console_for
from hybrid_retrieval.sweeps.search_plan import Search, trial_label
from hybrid_retrieval.sweeps.search_space import Value
from hybrid_retrieval.sweeps.search_study import SearchStudy, Trial
from hybrid_retrieval.training.time_estimate import duration

RESULTS = "search.json"
SCHEMA = 1
_ROWS = 10
_COMMANDS = 5


def write_search(search: Search, study: SearchStudy) -> Path:
    """Replace `search.json`, at once.

    Keys: `schema`, `space`, `objectives`, `settings`; `best`, the trials of the Pareto front, or the best of
    one objective; `trials` with `trial` (from 0), `state` (open, complete, failed), `params`, `values` by
    objective, `folder`, `reason` of a failure, and `overrides` that repeat it.

    Args:
        search: what it is about.
        study: its trials.

    Returns:
        The path of the file.
    """
    content = {
        "schema": SCHEMA,
        "space": {one.name: str(one) for one in search.space.dimensions},
        "objectives": {one.name: one.direction for one in search.objectives},
        "settings": vars(search.settings),
        "best": [trial.position for trial in study.best()],
        "trials": [_described(search, trial) for trial in study.trials()],
    }
    file = search.folder / RESULTS
    with atomic_file(file) as new:
        new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return file


def print_search(search: Search, study: SearchStudy) -> None:
    """The best trials first, how to repeat them, and why trials failed."""
    trials, best = study.trials(), study.best()
    complete = [trial for trial in trials if trial.state == "complete"]
    shown = best[:_ROWS]
    if len(search.objectives) == 1:  # the next best tell how much the best one is worth
        sign = -1 if search.objectives[0].direction == "maximize" else 1
        shown = sorted(complete, key=lambda one: (sign * one.values[0], one.position))[:_ROWS]
    console = Console()
    if shown:
        table = _results_table(search, shown, {one.position for one in best})
        console = console_for(table)
        console.print(table)
    if len(search.objectives) > 1 and best:
        hidden = f", {len(best) - _ROWS} of them in {RESULTS} only" if len(best) > _ROWS else ""
        console.print(f"Pareto front: {len(best)} trials that no other is better than in everything{hidden}.")
    for trial in best[:_COMMANDS]:
        line = shlex.join(["hybrid-retrieval", "train", *repeat(search, trial.params)])
        console.print(Text(f"trial {trial.position}: {line}"), soft_wrap=True)
    for trial in trials:
        if trial.state == "failed":
            text = f"trial {trial.position} failed: {trial.reason}; {trial.folder}"
            console.print(Text(text, style="red"), soft_wrap=True)
    states = [trial.state for trial in trials]
    if "failed" in states:
        console.print("Tracebacks are in train.log of the folders. --rerun-failed runs failed trials again.")
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no trial yet"
    text = f"{counts}, of {search.settings.trials}; in {search.folder}; all trials in {RESULTS}"
    console.print(Text(text), soft_wrap=True)
    if "open" in states or len(states) < search.settings.trials:
        console.print("The same line goes on with the trials that are left.")


def print_search_plan(search: Search, estimates: Sequence[Estimate]) -> None:
    """The space, the objectives, how many trials are left, and how long they will take. Writes nothing.

    Args:
        search: what it is about.
        estimates: of jobs at the bounds of the space.
    """
    settings = search.settings
    table = _table()
    table.add_column("setting", no_wrap=True)
    table.add_column("values")
    for one in search.space.dimensions:
        table.add_row(Text(one.name), Text(str(one)))
    console = console_for(table)
    console.print(table)
    lines = [f"Objectives: {', '.join(f'{one.direction} {one.name}' for one in search.objectives)}."]
    ended = _ended(search.folder)
    left = max(settings.trials - ended, 0)
    together = f", {settings.n_jobs} at a time" if settings.n_jobs > 1 else ""
    lines.append(
        f"{settings.trials} trials ({settings.sampler}, seed {settings.seed}{together}), {left} to run or to "
        f"go on; in {search.folder}"
    )
    seconds = sorted(one.seconds for one in estimates if one.seconds is not None)
    if left and seconds:
        least, most = duration(seconds[0] * left), duration(seconds[-1] * left)
        span = least if least == most else f"{least} to {most}, by the settings"
        unknown = "" if len(seconds) == len(estimates) else "; unknown for a part of the space"
        lines.append(f"Time one after another: {span}{unknown}.")
    elif left:
        lines.append("Time: unknown.")
    lines += [f"Basis: {basis}." for basis in dict.fromkeys(one.basis for one in estimates)] if left else []
    for line in lines:
        console.print(Text(line), soft_wrap=True)
    console.print("Nothing was written.")


def repeat(search: Search, params: Mapping[str, Value]) -> list[str]:
    """The overrides that repeat a trial as a single run, wherever."""
    names = {one: one.partition("=")[0] for one in search.space.overrides(params)}
    return [one for one, name in names.items() if name.lstrip("+") != "sweep" and has_influence(name)]


def _described(search: Search, trial: Trial) -> dict[str, Any]:
    names = [one.name for one in search.objectives]
    return {
        "trial": trial.position,
        "state": trial.state,
        "params": dict(trial.params),
        "values": dict(zip(names, trial.values, strict=True)) if trial.values else None,
        "folder": trial.folder,
        "reason": trial.reason,
        "overrides": repeat(search, trial.params),
    }


def _results_table(search: Search, shown: Sequence[Trial], best: set[int]) -> Table:
    table = _table()
    table.add_column("trial", no_wrap=True, min_width=max(len(trial_label(one)) for one in shown) + 2)
    for one in search.objectives:
        way = "↑" if one.direction == "maximize" else "↓"
        table.add_column(Text(f"{one.name} {way}"), justify="right", no_wrap=True)
    for trial in shown:
        name = f"{trial_label(trial)} *" if trial.position in best else trial_label(trial)
        style = "bold" if trial.position in best else ""
        table.add_row(Text(name, style=style), *(f"{value:.4f}" for value in trial.values))
    return table


def _table() -> Table:
    return Table(box=SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False)


def _ended(folder: Path) -> int:
    """Trials that have ended, by the `search.json` of an earlier start."""
    try:
        trials = json.loads((folder / RESULTS).read_bytes())["trials"]
        return sum(trial["state"] != "open" for trial in trials)
    except (OSError, ValueError, KeyError, TypeError):
        return 0
