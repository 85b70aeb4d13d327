"""A training loader that is a stream of steps: resumable in mid-epoch, the same for any number of workers."""

from collections.abc import Iterator
from typing import Any

from torch.utils.data import DataLoader, Dataset, Sampler

from hybrid_retrieval.data.collate import Collator, TrainBatch
from hybrid_retrieval.data.socket_folder import keep_socket_paths_short
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.training.signals import outlive_first_signal

PATIENCE = 1800.0
"""Seconds that a batch may take to come from the worker processes, before the run ends instead of hanging."""


class PlannedBatches(Dataset[TrainBatch]):
    """Item `step` is this rank's share of the plan's batch `step`, ready for the model."""

    def __init__(self, plan: BatchPlan, collator: Collator, rank: int, world_size: int) -> None:
        self.plan, self.collator, self.rank, self.world_size = plan, collator, rank, world_size

    def __getitem__(self, step: int) -> TrainBatch:
        return self.collator(self.plan[step].rank_slice(self.rank, self.world_size))


class _Steps(Sampler[int]):
    def __init__(self, first: int, last: int) -> None:
        self.first, self.last = first, last

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.first, self.last))

    def __len__(self) -> int:
        return self.last - self.first


class StepLoader:
    """Iterates from the step where it stands to the end of the epoch; the next iteration goes on from there.

    Lightning saves `state_dict` with a checkpoint and loads it on every rank; it holds the step alone, so it
    is valid for any number of ranks and workers.

    Args:
        batches: one item a step.
        steps_per_epoch: length of an epoch.
        workers: processes that tokenise ahead; 0 does it in the training process.
        pin_memory: for copies to a GPU.
    """

    def __init__(
        self, batches: PlannedBatches, steps_per_epoch: int, *, workers: int = 0, pin_memory: bool = False
    ) -> None:
        self.batches = batches
        self.steps_per_epoch = steps_per_epoch
        self.workers = workers
        self.pin_memory = pin_memory
        self.step = 0

    def __len__(self) -> int:
        return self.steps_per_epoch

    def __iter__(self) -> Iterator[TrainBatch]:
        if self.workers:
            keep_socket_paths_short()
        end = (self.step // self.steps_per_epoch + 1) * self.steps_per_epoch
        loader: DataLoader[TrainBatch] = DataLoader(
            self.batches,
            batch_size=None,
            sampler=_Steps(self.step, end),
            num_workers=self.workers,
            pin_memory=self.pin_memory,
            worker_init_fn=outlive_first_signal,
            timeout=PATIENCE if self.workers else 0,
        )
        for batch in loader:
            self.step += 1
            yield batch

    def state_dict(self) -> dict[str, Any]:
        """The next step to load."""
        return {"step": self.step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved step."""
        self.step = int(state["step"])
