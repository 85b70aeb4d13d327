"""Refuses a run folder that is taken before Hydra writes into it; imports nothing heavy."""

import os
import sys
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.log_records import safe


class RefuseTakenFolder(Callback):
    """Hydra writes `.hydra/` and the log file before the command starts, whose own check comes too late."""

    def on_run_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Refuse a folder that another process is at, or that holds a run of another configuration.

        Raises:
            SystemExit: it is refused; the message is written. Hydra makes warnings of exceptions here.
        """
        from hybrid_retrieval.sweeps.configuration_hash import configuration_hash  # noqa: PLC0415
        from hybrid_retrieval.sweeps.recorded_run import check_same_run, is_first_process  # noqa: PLC0415
        from hybrid_retrieval.sweeps.run_record import RunRecord  # noqa: PLC0415
        from hybrid_retrieval.training.run_lock import check_not_locked  # noqa: PLC0415

        if not is_first_process():
            return
        cfg = config.copy()
        try:
            folder = Path(os.path.abspath(config.hydra.run.dir))
            with open_dict(cfg):
                del cfg["hydra"]
            OmegaConf.resolve(cfg)
            if not folder.is_dir():
                return
            check_not_locked(folder, "run")
            check_same_run(folder, RunRecord.read(folder), configuration_hash(cfg), resume=cfg.resume)
        except OmegaConfBaseException:
            return  # the command says what is wrong with the configuration
        except UserError as error:
            sys.stderr.write(f"error: {safe(str(error))}\n")
            raise SystemExit(2) from error
