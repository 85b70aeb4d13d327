"""Stops a run whose loss or gradient is infinite or not a number, before the weights are spoilt."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from hybrid_retrieval.errors import RunFailedError, StorageError, UserError
from hybrid_retrieval.security.checkpoints import read_tensors
from hybrid_retrieval.training.assemble import Parts
from hybrid_retrieval.training.bad_batch import write_bad_batch
from hybrid_retrieval.training.checkpoint_file import LAST_CHECKPOINT, damage_of

BAD_BATCH_FILE = "bad_batch.json"
_NAMED = 5

logger = logging.getLogger(__name__)


class NotFiniteError(RunFailedError):
    """Training stopped: its loss or gradient is infinite or not a number. The message says what to do."""


class FiniteGuard(pl.Callback):
    """Logs `train/gradient_norm`, and stops the run when the norm or the loss is infinite or NaN.

    The norm is that of the whole gradient before clipping, equal on all ranks; one `all_reduce` of a single
    number puts the losses of the ranks together, so that all of them stop in the same step. The first writes
    `bad_batch.json` (`bad_batch.write_bad_batch`).

    On a CPU, or with an optimiser that is not fused, a step is judged before the optimiser changes the
    weights. On a GPU the CPU would have to wait for every step to be computed. There the verdict stays on the
    GPU, where a fused optimiser reads it (`found_inf`, as `torch.amp.GradScaler` uses it) and leaves the
    weights as they are in this step and all later ones; the CPU reads it one step later, when it is known
    (run on a CPU only). With 16-mixed infinite gradients are part of the search for a scale, so that only
    the loss is judged.

    Args:
        parts: of the run.
        folder: gets `bad_batch.json`.
        deferred: whether a step is judged when the next one has been queued; None: on a GPU with a fused
            optimiser.

    Raises:
        NotFiniteError: in the training loop of every rank.
    """

    def __init__(self, parts: Parts, folder: Path, *, deferred: bool | None = None) -> None:
        self.parts = parts
        self.folder = folder
        self.deferred = deferred
        self._loss: Tensor | None = None
        self._first: Tensor | None = None  # float32 (3,): the first bad step or -1, its loss, its norm
        self._read: tuple[Tensor, torch.cuda.Event | None] | None = None

    def on_before_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule, loss: Tensor) -> None:
        """Keep the loss."""
        self._loss = loss.detach()

    def on_before_optimizer_step(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, optimizer: torch.optim.Optimizer
    ) -> None:
        """Judge this step, or the one before."""
        assert self._loss is not None
        norm = self.parts.model.gradient_norm()
        pl_module.log("train/gradient_norm", norm)
        scaled = getattr(trainer.precision_plugin, "scaler", None) is not None
        bad = ~torch.isfinite(self._loss if scaled else self._loss + norm)
        if trainer.world_size > 1:
            verdict = bad.float()
            dist.all_reduce(verdict, dist.ReduceOp.MAX)
            bad = verdict > 0
        if self._defers(trainer, optimizer, scaled=scaled):
            self._raise_if_read(trainer)
            self._defer(trainer.global_step, bad, norm, optimizer)
        elif bad:
            self._stop(trainer, trainer.global_step, float(self._loss), float(norm))

    def on_train_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Judge the last step."""
        self._raise_if_read(trainer)

    def _defers(self, trainer: pl.Trainer, optimizer: torch.optim.Optimizer, *, scaled: bool) -> bool:
        if self.deferred is not None:
            return self.deferred
        fused = all(group.get("fused") for group in optimizer.param_groups)
        return trainer.strategy.root_device.type == "cuda" and fused and not scaled

    def _defer(self, step: int, bad: Tensor, norm: Tensor, optimizer: torch.optim.Optimizer) -> None:
        """Have the optimiser skip this step if it is bad or one before was, and tell the CPU later."""
        assert self._loss is not None
        now = torch.stack([torch.full_like(norm, step), self._loss.to(norm), norm])
        if self._first is None:
            self._first = torch.full_like(now, -1)
        self._first = torch.where(bad & (self._first[0] < 0), now, self._first)
        optimizer.found_inf = (self._first[0] >= 0).float()  # type: ignore[attr-defined]
        self._read = _copy_to_cpu(self._first)

    def _raise_if_read(self, trainer: pl.Trainer) -> None:
        if self._read is None:
            return
        verdict, copied = self._read
        if copied is not None:
            # Waiting, where asking would do, makes all ranks stop in the same step.
            copied.synchronize()
        step, loss, norm = verdict.tolist()
        if step >= 0:
            self._stop(trainer, int(step), loss, norm)

    def _stop(self, trainer: pl.Trainer, step: int, loss: float, norm: float) -> None:
        file = self.folder / BAD_BATCH_FILE
        try:
            if trainer.is_global_zero:
                values = {"loss": loss, "gradient_norm": norm}
                write_bad_batch(file, self.parts, trainer, step, values)
        except StorageError as error:
            logger.warning("%s", error)
        finally:
            if trainer.world_size > 1:
                # Lightning kills the first process when another one ends before it.
                dist.barrier()
        raise NotFiniteError(
            f"training stopped at step {step}: its loss is {loss}, the norm of its gradient {norm}. The "
            f"weights are those of before this step, and its batch, {self._batch(step)}, is in {file}. The "
            "usual causes: optim.lr is too high; numbers of 16 bits (try trainer.precision=32-true); a very "
            f"small loss.temperature. {_last_checkpoint(self.folder)}"
        )

    def _batch(self, step: int) -> str:
        """Kind, languages and rows of a batch, in words."""
        plan, batch = self.parts.plan, self.parts.plan[step]
        sides = np.unique(np.stack([batch.query_languages, batch.passage_languages]), axis=1).T.tolist()
        pairs = [f"{plan.languages[query]}-{plan.languages[passage]}" for query, passage in sides]
        corpora = self.parts.train
        rows = [
            f"{corpora[dataset].name} {', '.join(_few(corpora[dataset].row_ids(of.triples)))}"
            for dataset, _, of in batch.by_dataset()
        ]
        kind = batch.kind.value.replace("_", "-")
        return f"{kind} in {', '.join(_few(pairs))}, of the rows {'; '.join(rows)}"


def check_finite_weights(checkpoint: Mapping[str, Any], file: Path) -> None:
    """Refuse to save weights that are spoilt, in the place of those that are not.

    Raises:
        NotFiniteError: a weight is infinite or not a number.
    """
    for name, value in checkpoint.get("state_dict", {}).items():
        if isinstance(value, Tensor) and value.is_floating_point() and not bool(torch.isfinite(value).all()):
            raise NotFiniteError(
                f"training stopped after step {checkpoint.get('global_step')}: {name} holds numbers that are "
                f"infinite or none, and {file} was left as it was. The usual causes: optim.lr is too high; "
                f"numbers of 16 bits (try trainer.precision=32-true). {_last_checkpoint(file.parent.parent)}"
            )


def _few(names: Sequence[str]) -> list[str]:
    """The first few names, and how many more there are."""
    more = len(names) - _NAMED
    return [*names[:_NAMED], *([f"{more} more"] if more > 0 else [])]


def _last_checkpoint(folder: Path) -> str:
    """From where a run can go on, in a sentence."""
    file = folder / "checkpoints" / LAST_CHECKPOINT
    try:
        if not file.is_file() or damage_of(file) is not None:
            return "There is no whole checkpoint of this run yet."
        step = read_tensors(file, "", mapped=True)["global_step"]
    except (UserError, KeyError):
        return "There is no whole checkpoint of this run yet."
    return f"Its last whole checkpoint is {file}, of step {step}: resume=true goes on from there."


def _copy_to_cpu(values: Tensor) -> tuple[Tensor, torch.cuda.Event | None]:
    """A copy that may arrive later, and the event after which it is there."""
    if not values.is_cuda:
        return values.clone(), None
    copy = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    copy.copy_(values, non_blocking=True)
    event = torch.cuda.Event()  # type: ignore[no-untyped-call]
    event.record()
    return copy, event
