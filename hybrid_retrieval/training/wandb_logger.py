"""A log on Weights & Biases that never stands in the way of training."""

import hashlib
import logging
import shlex
from contextlib import suppress
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import WandbLogger

from hybrid_retrieval.errors import UserError

MODES = ("offline", "online", "disabled")

logger = logging.getLogger(__name__)


class WandbRun(WandbLogger):
    """A run on Weights & Biases that never stands in the way of training.

    Where `mode` is online and the server is not reached within `init_timeout`, it goes on offline, with a
    warning. A run that breaks off is finished as failed, so that the next one of a sweep in this process does
    not go on in it.

    Args:
        run_folder: gets `wandb/`.
        mode: offline or online.
        init_timeout: seconds to reach the server in.
        finish_timeout: seconds to upload the rest in, at the end.
        **init: of `wandb.init`.
    """

    def __init__(
        self, run_folder: Path, mode: str, *, init_timeout: float, finish_timeout: float, **init: Any
    ) -> None:
        import wandb  # noqa: PLC0415 - half a second to import

        settings = wandb.Settings(
            init_timeout=init_timeout,
            finish_timeout=finish_timeout,
            disable_git=True,  # a remote's address may hold a password; the revision is in the configuration
            save_code=False,
        )
        # Not `offline=`, which would set WANDB_MODE for the rest of the process.
        super().__init__(save_dir=run_folder, mode=mode, settings=settings, **init)
        self._wandb_init.pop("anonymous", None)  # its mere presence makes wandb warn
        self.run_folder = run_folder

    @property
    @rank_zero_experiment
    def experiment(self) -> Any:
        """The run of `wandb`, begun at the first use.

        Raises:
            UserError: online without a login.
        """
        if self._experiment is not None:
            return self._experiment
        import wandb  # noqa: PLC0415

        if wandb.run is not None:
            wandb.run.finish(exit_code=1)
        if self.mode == "online":
            try:
                return super().experiment
            except wandb.errors.UsageError as error:
                raise UserError(
                    "logger.wandb.mode=online needs a login: set WANDB_API_KEY or run `wandb login`, or take "
                    f"logger.wandb.mode=offline. W&B says: {_first_line(error)}"
                ) from error
            except (wandb.errors.Error, OSError, TimeoutError) as error:
                logger.warning(
                    "Weights & Biases was not reached, so this run goes on offline (summary.md tells how to "
                    "upload it): %s",
                    _first_line(error),
                )
            wandb.teardown()  # it holds on to the id of the run
            self._wandb_init["mode"] = "offline"
        return super().experiment

    @property
    def mode(self) -> str:
        """Offline or online, as it came to be."""
        return str(self._wandb_init["mode"])

    @property
    def sync_command(self) -> str:
        """Uploads what the run logged offline, all its restarts; "" for an online run."""
        if self.mode == "online":
            return ""
        return f"wandb sync {shlex.quote(str(self.run_folder.absolute() / 'wandb'))}/offline-run-*-{self._id}"

    def finalize(self, status: str) -> None:
        """End a run that broke off; one that succeeded has its evaluation still to come."""
        super().finalize(status)
        if status != "success":
            self.finish(exit_code=1)

    def finish(self, exit_code: int = 0) -> None:
        """Write, or upload, what is left; nothing where the run has not begun."""
        if self._experiment is not None:
            self._experiment.finish(exit_code=exit_code)
            self._experiment = None
            _forget_tables(str(self._id))


def run_id(run_folder: Path, hash_: str) -> str:
    """16 hexadecimal digits: the same whenever a run of this configuration goes on in this folder."""
    return hashlib.sha256(f"{run_folder.resolve()}\n{hash_}".encode()).hexdigest()[:16]


def _forget_tables(id_: str) -> None:
    """Let go of a run's tables and their temporary files; W&B keeps those of the last 100 artifacts."""
    with suppress(ImportError, AttributeError):  # nothing that W&B promises
        from wandb.sdk.artifacts import artifact_instance_cache as caches  # noqa: PLC0415

        for cache in (caches.artifact_instance_cache, caches.artifact_instance_cache_by_client_id):
            for key, artifact in list(cache.items()):
                if artifact.name.startswith(f"run-{id_}-"):
                    del cache[key]


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
