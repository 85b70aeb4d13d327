"""A verb as a Hydra application: composes the configuration, runs the verb, gives an exit status."""

import importlib
import logging
import os
import shutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.errors import RunFailedError, UserError
from hybrid_retrieval.launch import Launch
from hybrid_retrieval.override_errors import explain, unknown_option
from hybrid_retrieval.security.configuration import checked_configurations
from hybrid_retrieval.security.log_records import protect_handlers, safe
from hybrid_retrieval.storage_errors import (
    storage_error_of,
    storage_errors_explained,
    tell_once_of_log_files,
)
from hybrid_retrieval.sweeps.run_record import RUN_RECORD, RunRecord
from hybrid_retrieval.training.run_lock import LOCK

_TERMINATED = 128 + 15
_INTERRUPTED = 128 + 2


def run_verb(verb: str, arguments: Sequence[str], folders: Sequence[str] = ()) -> int:
    """Run one verb.

    Args:
        verb: the configuration `conf/<verb>.yaml` and the module `commands/<verb>.py`.
        arguments: Hydra's options and overrides, in any order.
        folders: run folders that stand for `runs`, taken literally.

    Returns:
        The exit status; messages went to stderr.
    """
    if option := unknown_option(arguments):
        return refuse(f"there is no option {option}. See: hybrid-retrieval {verb} --help")
    # Otherwise Hydra prints errors itself and exits with 1 for all of them.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    # oneDNN keeps a primitive of 0.1 to 0.2 MB for each shape of a GELU on a CPU, of which each batch has
    # another, up to 1024 of them; so many do for the layers and chunks of a step.
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "64")
    original = list(sys.argv)
    failures: list[Exception] = []

    def task(cfg: DictConfig) -> None:
        # Lightning starts the other ranks with the same command line.
        sys.argv = original
        protect_handlers()
        tell_once_of_log_files()
        try:
            OmegaConf.resolve(cfg)
            if folders:
                cfg.runs = [str(Path(folder).absolute()).replace("${", "\\${") for folder in folders]
            run_folder, cache = HydraConfig.get().runtime.output_dir, cache_folder(cfg.paths.cache)
            with storage_errors_explained(run_folder, cache):
                importlib.import_module(f"hybrid_retrieval.commands.{verb}").run(cfg)
        except Exception as error:
            if isinstance(error, UserError | OmegaConfBaseException | HydraException):
                _remove_records()
            if HydraConfig.get().mode == RunMode.MULTIRUN:
                raise  # the launcher may run in another process
            failures.append(error)

    # argparse understands options before the overrides only, and names the program by argv[0].
    multirun = [argument for argument in arguments if argument in ("-m", "--multirun")]
    others = [argument for argument in arguments if argument not in multirun]
    if verb == "evaluate":
        try:
            launch = Launch.read(os.environ)
        except UserError as error:
            return refuse(str(error))
        if launch is not None and launch.rank > 0:  # the first process writes
            others += ["hydra.run.dir=.", "hydra.output_subdir=null", "hydra/job_logging=stdout"]
    sys.argv = [f"hybrid-retrieval {verb}", *multirun[:1], *others]
    outcome: BaseException | None
    try:
        with checked_configurations():
            hydra.main(version_base="1.3", config_path=str(config_folder()), config_name=verb)(task)()
        outcome = failures[0] if failures else None
    except (PermissionError, FileExistsError, NotADirectoryError) as error:
        outcome = UserError(
            f"{error.filename}: {error.strerror}. Choose another folder with hydra.run.dir=..."
        )
    except (Exception, SystemExit, KeyboardInterrupt) as error:
        outcome = error
    finally:
        sys.argv = original
    return 0 if outcome is None else _status(outcome, verb, arguments)


def refuse(message: str) -> int:
    """Tell the user of a mistake; the exit status for it."""
    sys.stderr.write(f"error: {safe(message)}\n")
    return 2


def _status(error: BaseException, verb: str, arguments: Sequence[str]) -> int:
    """Say what happened, and give the exit status for it."""
    if isinstance(error, KeyboardInterrupt) or isinstance(error.__context__, KeyboardInterrupt):
        sys.stderr.write("interrupted\n")
        return _INTERRUPTED
    if isinstance(error, SystemExit):
        # Hydra leaves this way after --help; Lightning, without a code, when it was asked to terminate.
        return _TERMINATED if error.code is None else int(error.code)
    if isinstance(error, HydraException | OmegaConfBaseException):
        cause = error.__cause__
        return refuse(str(cause) if isinstance(cause, UserError) else explain(error, verb, arguments))
    if isinstance(error, RunFailedError):
        sys.stderr.write(f"error: {safe(str(error))}\n")
        return 1
    mistake = error if isinstance(error, UserError) else storage_error_of(error, Path.cwd())
    if mistake is not None:
        return refuse(str(mistake))
    sys.stderr.write(safe("".join(traceback.format_exception(error))))
    return 1


def _remove_records() -> None:
    """Remove a run folder that holds nothing but Hydra's records of it and empty folders."""
    settings = HydraConfig.get()
    folder = Path(settings.runtime.output_dir)
    if settings.output_subdir is None or not folder.is_dir():
        return
    for handler in list(logging.getLogger().handlers):
        if isinstance(handler, logging.FileHandler) and Path(handler.baseFilename).parent == folder:
            logging.getLogger().removeHandler(handler)
            with suppress(OSError):  # what it holds may not fit on the disk
                handler.close()
    record = RunRecord.read(folder)
    if record is not None and (record.pid != os.getpid() or settings.mode == RunMode.MULTIRUN):
        return  # another process's, or told of at the end of a sweep
    records = (settings.output_subdir, RUN_RECORD, LOCK)

    def counts(path: Path) -> bool:
        empty = path.is_dir() and next(path.iterdir(), None) is None
        return not (empty or path.name in records or path.suffix == ".log")

    if not any(counts(path) for path in folder.iterdir()):
        shutil.rmtree(folder)
