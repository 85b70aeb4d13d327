"""The report's section on repeating the runs: commands, seeds, fingerprints, versions."""

import re
import shlex
from collections.abc import Sequence
from html import escape

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment
from hybrid_retrieval.reporting.runs import Run
from hybrid_retrieval.sweeps.run_record import RunRecord

_WHERE_IT_RAN = re.compile(r"^[+~]{0,2}(?:launcher[.=]|hydra[./@])")
"""Overrides that say where and how a sweep runs, and not what one of its jobs computes."""


def how_to_repeat(comparison: Comparison) -> str:
    """One block an experiment: the command of each run, seeds, time, and the versions it ran with."""
    blocks = [_block(e) for e in comparison.experiments]
    environments = {
        tuple(_versions(run.metrics.get("environment") or {}))
        for e in comparison.experiments
        for run in e.runs
    }
    versions = [
        "<h3>Environment</h3>"
        + "".join(
            f"<pre>{escape(chr(10).join(environment))}</pre>"
            for environment in sorted(environments)
            if environment
        )
    ]
    return "".join(blocks + versions)


def commands(experiment: Experiment) -> list[str]:
    """The command lines that repeat an experiment: one for all seeds where they differ in the seed alone.

    A run's line is what Hydra recorded of it, less where it ran. For a job of `sweep=<name>` it is the line
    of that job alone: `sweep` has no further effect on a single run.
    """
    runs = experiment.runs
    if runs[0].training is None:
        model, benchmark = runs[0].model, runs[0].benchmark
        return [f"hybrid-retrieval evaluate model={shlex.quote(model)} benchmark={shlex.quote(benchmark)}"]
    of_runs = [_overrides(run) for run in runs]
    swept = any(word.lstrip("+").startswith("sweep=") for words in of_runs for word in words)
    if len(runs) > 1 and not swept and all(words == of_runs[0] for words in of_runs):
        return [
            _line(["--multirun", *of_runs[0], f"seed={','.join(str(seed) for seed in experiment.seeds)}"])
        ]
    return [_line([*words, f"seed={run.seed}"]) for words, run in zip(of_runs, runs, strict=True)]


def _block(experiment: Experiment) -> str:
    facts = [
        f"{k}: {v}" for k, v in experiment.runs[0].settings.items() if "." not in k and v not in ("null", "")
    ]
    hashes = [record.hash for run in experiment.runs if (record := RunRecord.read(run.training_folder))]
    if hashes:
        facts.append(f"configuration hash of each run: {', '.join(hashes)}")
    seconds = [
        float(run.training["train_seconds"])
        for run in experiment.runs
        if run.training and "train_seconds" in run.training
    ]
    if seconds:
        facts.append(
            f"training time: {min(seconds):,.0f} s"
            + (f" to {max(seconds):,.0f} s" if len(seconds) > 1 else "")
        )
    return (
        f"<details><summary>{escape(experiment.label)}</summary>"
        f"<pre>{escape(chr(10).join(commands(experiment)))}</pre>"
        f"<p class='note-box'>{escape('; '.join(facts))}</p></details>"
    )


def _overrides(run: Run) -> list[str]:
    """The overrides of a run but its seed; made up from metrics.json where Hydra's record is missing."""
    own = ("seed=", "resume=")
    others = [o for o in run.overrides if not o.startswith(own) and not _WHERE_IT_RAN.match(o)]
    if run.overrides or run.training is None:
        return others
    alpha = run.training.get("alpha")
    return [
        f"sampler={run.strategy}",
        *([f"sampler.alpha={alpha}"] if run.strategy == "hybrid" and alpha is not None else []),
    ]


def _line(words: Sequence[str]) -> str:
    return "hybrid-retrieval train " + " ".join(shlex.quote(word) for word in words)


def _versions(environment: dict[str, object], prefix: str = "") -> list[str]:
    lines = []
    for key, value in sorted(environment.items()):
        if isinstance(value, dict):
            lines += _versions(value, f"{prefix}{key} ")
        else:
            lines.append(f"{prefix}{key}: {value}")
    return lines
