"""The console command `hybrid-retrieval <verb> [hydra overrides]`."""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

VERBS = {
    "prepare": "fetch and convert a data set, a backbone and benchmarks, once",
    "train": "train a dual encoder, save it and evaluate it; -m for several runs",
    "mine": "hard negatives for a data set with a model of yours, written as a data set to train on",
    "evaluate": "evaluate any model on a benchmark in the three settings",
    "status": "how far the runs of a sweep are; --watch while they run",
    "compare": "one table and one page from many runs",
    "dashboard": "a workspace and a report of a sweep on Weights & Biases, or as JSON",
    "export": "a model for use elsewhere: half precision, a vocabulary trimmed to your texts",
}

OPTIONS = {
    "prepare": {"sample": "3"},
    "train": {"rerun-failed": "true", "dry-run": "true"},
    "status": {"watch": "3"},
}
"""Options of the verbs' own: their names, and what they set where they are given no value."""

TAKES_FOLDERS = ("status", "compare", "dashboard")
"""Verbs whose plain arguments are run folders."""

HELP = """Train and evaluate retrievers that work in every language at once.

usage: hybrid-retrieval <verb> [options] [group=choice] [name=value]

{verbs}

First steps
  hybrid-retrieval prepare                                          about a minute
  hybrid-retrieval train -m experiment=demo sampler=x_x_mono,x_y,hybrid hydra.sweep.dir=outputs/demo
  hybrid-retrieval compare outputs/demo

hybrid-retrieval <verb> --help tells what a verb takes.
"""


def main() -> None:
    """Entry point: exit status 0 on success, 2 for a mistake of the user's, 1 for anything else."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Carry out one command line and return its exit status."""
    if not arguments or arguments[0] in ("--help", "-h", "help"):
        verbs = "\n".join(f"  {name:<10}{what}" for name, what in VERBS.items())
        sys.stdout.write(HELP.format(verbs=verbs))
        return 0
    verb, rest = arguments[0], list(arguments[1:])
    if verb == "--version":
        from hybrid_retrieval import __version__  # noqa: PLC0415

        sys.stdout.write(f"hybrid-retrieval {__version__}\n")
        return 0
    from hybrid_retrieval.hydra_app import refuse, run_verb  # noqa: PLC0415

    if verb not in VERBS:
        return refuse(
            f"there is no verb {verb!r}; the verbs are {', '.join(VERBS)}. Try: hybrid-retrieval --help"
        )
    folders = [argument for argument in rest if _is_folder(argument)] if verb in TAKES_FOLDERS else []
    arguments = [_as_override(verb, argument) for argument in rest if argument not in folders]
    return run_verb(verb, _several(arguments) if verb == "evaluate" else arguments, folders)


def _as_override(verb: str, argument: str) -> str:
    """An option of a verb's own as the override that it stands for: `--sample=5` is `sample=5`."""
    if verb == "dashboard" and argument.startswith("sweep="):  # `sweep` is a Hydra group
        return f"group={argument.partition('=')[2]}"
    name, _, value = argument.removeprefix("--").partition("=")
    default = OPTIONS.get(verb, {}).get(name)
    if default is None or not argument.startswith("--"):
        return argument
    return f"{name.replace('-', '_')}={value or default}"


def _several(arguments: list[str]) -> list[str]:
    """`benchmark=[a,b]` as `benchmark=a benchmarks=[a,b]`: a Hydra group takes one choice."""
    expanded = []
    for argument in arguments:
        names = re.fullmatch(r"benchmark=\[\s*([\w.-]+)\s*(,[\w.,\s-]+)?\]", argument)
        expanded += (
            [f"benchmark={names[1]}", f"benchmarks={argument.partition('=')[2]}"] if names else [argument]
        )
    return expanded


def _is_folder(argument: str) -> bool:
    """Whether an argument is a run folder, whose name may look like an override."""
    return Path(argument).exists() or not ("=" in argument or argument.startswith(("-", "~", "+")))
