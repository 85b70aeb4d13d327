"""A run that breaks off in the middle, as when the machine goes down."""

from typing import Any

import lightning.pytorch as pl
import pytest


class InterruptAfter(pl.Callback):
    """Raises after so many optimiser steps, when installed in every trainer that is made.

    Args:
        steps: None never raises.
        others: more callbacks to install.
    """

    def __init__(self, steps: int | None, *others: pl.Callback) -> None:
        self.steps = steps
        self.others = others

    def on_train_batch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule, *args: Any) -> None:
        if trainer.global_step == self.steps:
            raise RuntimeError("the machine went down")

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        make = pl.Trainer.__init__

        def with_callback(trainer: pl.Trainer, *args: Any, callbacks: Any = (), **options: Any) -> None:
            make(trainer, *args, callbacks=[*callbacks, self, *self.others], **options)

        monkeypatch.setattr(pl.Trainer, "__init__", with_callback)
