"""What happens to a run in the tests: a signal at a given place, and a note of every batch."""

import glob
import hashlib
import json
import multiprocessing
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import torch

from hybrid_retrieval.data.collate import TrainBatch
from hybrid_retrieval.training import checkpoint_file
from hybrid_retrieval.training import run as training_run
from hybrid_retrieval.training.preemption import Preemption

PLACES = (
    "in a step",
    "after a step",
    "writing a checkpoint",
    "before a checkpoint is there",
    "after a checkpoint is there",
    "in a validation",
    "after a validation",
    "between epochs",
    "evaluating",
    "saving the model",
)
_AFTER_TRAINING = ("evaluating", "saving the model")


def ten_places(seed: int, *, last: int, saves: int, validates: int, epoch: int) -> list[tuple[str, int]]:
    """All of `PLACES`, each with a step at or after which it is due, in an order that a run can meet them.

    Args:
        seed: of the order and of the steps.
        last: step of the run.
        saves: steps between two checkpoints.
        validates: steps between two validations.
        epoch: steps of an epoch.
    """
    source = random.Random(seed)
    places = [place for place in PLACES if place not in _AFTER_TRAINING]
    every = {place: saves for place in places if "checkpoint" in place} | {"between epochs": epoch}
    every |= {"in a validation": validates, "after a validation": validates}
    while True:
        source.shuffle(places)
        steps = sorted(source.randint(1, last - 2) for _ in places)
        saved = 0
        for place, step in zip(places, steps, strict=True):
            period = every.get(place, 1)
            met = -(-max(step, saved + 1) // period) * period
            saved = met - met % saves
        if met < last:
            return [*zip(places, steps, strict=True), *((place, last) for place in _AFTER_TRAINING)]


def install(
    rank: int,
    *,
    place: str | None = None,
    step: int = 0,
    number: int = signal.SIGKILL,
    to: str = "all",
    notes: str | None = None,
    again: float | None = None,
    hangs: float = 0.0,
    patience: float | None = None,
    cut: str | None = None,
) -> None:
    """Have this process, which is to train, meet its fault.

    Args:
        rank: of this process.
        place: of `PLACES`; "a loader process", of which one is killed; or None for a run without a fault.
        step: optimiser steps that must be done, or in a step begun.
        number: the signal.
        to: "all" processes of the run, sent by its first, or the "rank" with a number.
        again: seconds after which the signal is sent a second time; None: once.
        hangs: seconds that the place lasts after the signal.
        patience: of `Preemption`, instead of its own.
        cut: files to empty in place of the signal, as a pattern.
        notes: start of the names of the files that tell what was met (`.hits`), and of the batches.
    """
    callbacks: list[pl.Callback] = []
    if notes is not None:
        callbacks.append(NoteBatches(Path(f"{notes}.batches-{rank}")))
    if place is not None and (rank == 0 if to == "all" else rank == int(to)):
        fault = Fault(place, step, number, to, Path(f"{notes}.hits"), again=again, hangs=hangs, cut=cut)
        fault.patch()
        callbacks.append(fault)
    if patience is not None:
        (Preemption.__init__.__kwdefaults__ or {})["patience"] = patience
    make = pl.Trainer.__init__

    def with_callbacks(trainer: pl.Trainer, *args: Any, callbacks_: Any = callbacks, **options: Any) -> None:
        # First of all: what follows in the same hook has not happened yet.
        options["callbacks"] = [*callbacks_, *options.get("callbacks", ())]
        make(trainer, *args, **options)

    pl.Trainer.__init__ = with_callbacks  # type: ignore[method-assign, assignment]


class NoteBatches(pl.Callback):
    """Writes every batch of this rank into a file as it is trained on, a line each, in JSON.

    The step; the number of ranks; for every pair its query, its passage and their languages; and a hash of
    all tokens.
    """

    def __init__(self, file: Path) -> None:
        self.file = file

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: TrainBatch, batch_idx: int
    ) -> None:
        pairs = len(batch.queries)
        columns = (batch.ids.query, batch.ids.passage, batch.query_languages, batch.passage_languages)
        digest = hashlib.sha256()
        for texts in (batch.queries, batch.passages):
            digest.update(texts.sequences.tokens.numpy().tobytes() + texts.order.numpy().tobytes())
        rows = torch.stack([column[:pairs] for column in columns], dim=1).tolist()
        with self.file.open("a", encoding="utf-8") as opened:
            opened.write(
                json.dumps([trainer.global_step, trainer.world_size, rows, digest.hexdigest()]) + "\n"
            )


class Fault(pl.Callback):
    """Sends a signal, or empties files, when training is at a place, and notes that it did."""

    def __init__(
        self,
        place: str,
        step: int,
        number: int,
        to: str,
        hits: Path,
        *,
        again: float | None = None,
        hangs: float = 0.0,
        cut: str | None = None,
    ) -> None:
        self.place, self.step, self.number, self.to, self.hits = place, step, number, to, hits
        self.again, self.hangs, self.cut = again, hangs, cut
        self._trainer: pl.Trainer | None = None
        self._met = False

    def at(self, place: str, more: int = 0) -> None:
        """This process is at a place; `more` steps than are done have begun."""
        done = self._trainer.global_step if self._trainer is not None else 0
        if self._met or place != self.place or done + more < self.step:
            return
        self._met = True
        with self.hits.open("a", encoding="utf-8") as opened:
            opened.write(json.dumps([place, done]) + "\n")
        self._send()
        if self.again is not None:
            time.sleep(self.again)
            self._send()
        until = time.monotonic() + self.hangs
        while time.monotonic() < until:
            time.sleep(0.05)

    def _send(self) -> None:
        if self.cut is not None:
            for file in glob.glob(self.cut):
                os.truncate(file, 0)
        elif self.place == "a loader process":
            os.kill(multiprocessing.active_children()[0].pid or 0, signal.SIGKILL)
        elif self.to == "all":
            os.killpg(os.getpgid(0), self.number)
        else:
            os.kill(os.getpid(), self.number)

    def patch(self) -> None:
        """Get between the steps of writing a checkpoint, and to the end of the run."""
        save, replace = torch.save, os.replace

        def half(content: Any, opened: Any, *args: Any, **options: Any) -> None:
            save(content, opened, *args, **options)
            if self.place == "writing a checkpoint" and "global_step" in content:
                opened.truncate(opened.tell() // 2)
                opened.flush()
                self.at("writing a checkpoint")

        def replaced(source: Any, target: Any) -> None:
            is_checkpoint = Path(target).name == checkpoint_file.LAST_CHECKPOINT
            if is_checkpoint:
                self.at("before a checkpoint is there")
            replace(source, target)
            if is_checkpoint:
                self.at("after a checkpoint is there")

        torch.save, os.replace = half, replaced  # type: ignore[assignment]
        for name, place in (("embed", "evaluating"), ("save_model", "saving the model")):
            setattr(training_run, name, self._before(getattr(training_run, name), place))

    def _before(self, call: Callable[..., Any], place: str) -> Callable[..., Any]:
        def wrapped(*args: Any, **options: Any) -> Any:
            self.at(place)
            return call(*args, **options)

        return wrapped

    def setup(self, trainer: pl.Trainer, *args: Any, **options: Any) -> None:
        self._trainer = trainer

    def on_before_optimizer_step(self, *args: Any, **options: Any) -> None:
        self.at("in a step", 1)
        self.at("a loader process", 1)

    def on_train_batch_end(self, *args: Any, **options: Any) -> None:
        self.at("after a step")

    def on_validation_batch_end(self, *args: Any, **options: Any) -> None:
        self.at("in a validation")

    def on_validation_end(self, *args: Any, **options: Any) -> None:
        self.at("after a validation")

    def on_train_epoch_end(self, *args: Any, **options: Any) -> None:
        self.at("between epochs")
