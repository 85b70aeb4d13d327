"""The console command `hybrid-retrieval <verb> [hydra overrides]`."""

import importlib
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

from hybrid_retrieval.errors import UserError

VERBS = {
    "prepare": "fetch and convert a data set and a backbone, once",
    "train": "train a dual encoder, save it and evaluate it; -m for several runs",
    "evaluate": "evaluate any model on a benchmark in the three settings",
    "compare": "one table and one page from many runs",
}

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
    if verb not in VERBS:
        return _refuse(f"there is no verb {verb!r}; the verbs are {', '.join(VERBS)}. Try: hybrid-retrieval --help")
    if verb == "compare":
        rest = _folders_to_override(rest)
    return _run_hydra(verb, rest)


def _folders_to_override(arguments: list[str]) -> list[str]:
    folders = [a for a in arguments if "=" not in a and not a.startswith(("-", "~", "+"))]
    others = [a for a in arguments if a not in folders]
    if folders:
        quoted = ",".join("'" + str(Path(f).absolute()).replace("'", "\\'") + "'" for f in folders)
        others.append(f"runs=[{quoted}]")
    return others


def _run_hydra(verb: str, arguments: list[str]) -> int:
    import hydra  # noqa: PLC0415
    from hydra.core.hydra_config import HydraConfig  # noqa: PLC0415
    from hydra.errors import HydraException  # noqa: PLC0415
    from omegaconf import DictConfig, OmegaConf  # noqa: PLC0415
    from omegaconf.errors import OmegaConfBaseException  # noqa: PLC0415

    from hybrid_retrieval.config_folder import config_folder  # noqa: PLC0415

    # Otherwise Hydra prints errors itself and exits with 1 for all of them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    original = list(sys.argv)

    def task(cfg: DictConfig) -> None:
        # Lightning starts the other ranks with the same command line.
        sys.argv = original
        OmegaConf.resolve(cfg)
        try:
            importlib.import_module(f"hybrid_retrieval.commands.{verb}").run(cfg)
        except UserError:
            if verb in ("train", "evaluate"):
                _remove_if_empty(Path(HydraConfig.get().runtime.output_dir))
            raise

    sys.argv = [original[0], *arguments]
    try:
        hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=verb)(task)()
    except UserError as error:
        return _refuse(str(error))
    except (HydraException, OmegaConfBaseException) as error:
        cause = error.__cause__ if isinstance(error.__cause__, UserError) else error
        return _refuse(f"{_first_paragraph(str(cause))}\nSee: hybrid-retrieval {verb} --help")
    except SystemExit as stop:
        # argparse and Hydra leave this way.
        return stop.code if isinstance(stop.code, int) else (0 if stop.code is None else 1)
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        return 130
    except Exception:  # the one place where anything unforeseen ends
        traceback.print_exc()
        return 1
    finally:
        sys.argv = original
    return 0


def _first_paragraph(message: str) -> str:
    lines = [line.strip() for line in message.strip().splitlines()]
    kept = [line for line in lines if line and not line.startswith(("full_key:", "object_type=", "reference_type="))]
    return " ".join(kept)


def _remove_if_empty(folder: Path) -> None:
    """Remove a run folder that holds nothing but Hydra's own records."""
    logging.shutdown()
    if folder.is_dir() and all(p.name == ".hydra" or p.suffix == ".log" for p in folder.iterdir()):
        shutil.rmtree(folder)


def _refuse(message: str) -> int:
    sys.stderr.write(f"error: {message}\n")
    return 2
