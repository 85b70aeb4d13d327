"""The report's section on repeating the runs: commands, seeds, versions."""

import shlex
from html import escape

from hybrid_retrieval.reporting.comparison import Comparison
from hybrid_retrieval.reporting.experiments import Experiment


def how_to_repeat(comparison: Comparison) -> str:
    """One block an experiment: the command with its overrides, seeds, time, and the versions it ran with."""
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


def _block(experiment: Experiment) -> str:
    lines = [_command(experiment)]
    facts = [
        f"{k}: {v}" for k, v in experiment.runs[0].settings.items() if "." not in k and v not in ("null", "")
    ]
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
        f"<details><summary>{escape(experiment.label)}</summary><pre>{escape(chr(10).join(lines))}</pre>"
        f"<p class='note-box'>{escape('; '.join(facts))}</p></details>"
    )


def _command(experiment: Experiment) -> str:
    run = experiment.runs[0]
    if run.training is None:
        return (
            f"hybrid-retrieval evaluate model={shlex.quote(run.model)} benchmark={shlex.quote(run.benchmark)}"
        )
    others = [override for override in run.overrides if not override.startswith(("seed=", "hydra."))]
    if not others:
        others = [f"sampler={run.strategy}"]
        if run.strategy == "hybrid" and run.training.get("alpha") is not None:
            others.append(f"sampler.alpha={run.training['alpha']}")
    seeds = ",".join(str(seed) for seed in experiment.seeds)
    multirun = ["--multirun"] if len(experiment.seeds) > 1 else []
    words = [*multirun, *others, f"seed={seeds}"]
    return "hybrid-retrieval train " + " ".join(shlex.quote(word) for word in words)


def _versions(environment: dict[str, object], prefix: str = "") -> list[str]:
    lines = []
    for key, value in sorted(environment.items()):
        if isinstance(value, dict):
            lines += _versions(value, f"{prefix}{key} ")
        else:
            lines.append(f"{prefix}{key}: {value}")
    return lines
