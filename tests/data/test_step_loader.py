"""The training loader: the same steps for any number of workers, and after a resumption."""

import itertools
import pickle
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hybrid_retrieval.data.collate import TrainBatch
from hybrid_retrieval.data.step_loader import PlannedBatches, StepLoader
from tests.losses import dual_encoder_parts as parts


@pytest.fixture(scope="module")
def batches(tmp_path_factory: pytest.TempPathFactory) -> PlannedBatches:
    folder: Path = tmp_path_factory.mktemp("parts")
    parts.prepare(folder)
    return PlannedBatches(parts.plan(folder), parts.collator(folder), 0, 1)


def fingerprint(batch: TrainBatch) -> tuple[object, ...]:
    return (
        batch.step,
        batch.monolingual,
        tuple(batch.ids.passage.tolist()),
        *(
            (texts.sequences.lengths, *texts.sequences.tokens.tolist())
            for texts in (batch.queries, batch.passages)
        ),
        tuple(batch.queries.order.tolist()),
    )


def epochs(loader: StepLoader, count: int) -> Iterator[list[tuple[object, ...]]]:
    for _ in range(count):
        yield [fingerprint(batch) for batch in loader]


def test_same_batches_with_workers(batches: PlannedBatches) -> None:
    spe = 5
    alone = list(epochs(StepLoader(batches, spe), 2))
    helped = list(epochs(StepLoader(batches, spe, workers=2), 2))

    assert alone == helped
    assert [batch[0] for epoch in alone for batch in epoch] == list(range(2 * spe))


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("done", [0, 1, 3, 4, 5, 7])
def test_goes_on_where_it_was_saved(batches: PlannedBatches, workers: int, done: int) -> None:
    """Epochs are four steps long; the state is taken after `done` batches have been used."""
    expected = [fingerprint(batches[step]) for step in range(done, 12)]
    loader = StepLoader(batches, 4, workers=workers)
    used = 0
    while used < done:
        for _ in itertools.islice(loader, done - used):
            used += 1
    state = pickle.loads(pickle.dumps(loader.state_dict()))
    resumed = StepLoader(batches, 4, workers=workers)
    resumed.load_state_dict(state)

    lengths = [len(epoch) for epoch in (list(resumed), list(resumed), list(resumed))]
    resumed.load_state_dict(state)
    found = [batch for epoch in epochs(resumed, 3) for batch in epoch][: 12 - done]

    assert lengths == [4 - done % 4, 4, 4]
    assert found == expected


def test_batches_survive_pickling(batches: PlannedBatches) -> None:
    """Where processes are spawned, as on macOS, workers get the data set as a pickle."""
    batches[0]
    copy = pickle.loads(pickle.dumps(batches))

    assert fingerprint(copy[3]) == fingerprint(batches[3])


def test_length_is_that_of_an_epoch(batches: PlannedBatches) -> None:
    assert len(StepLoader(batches, batches.plan.steps_per_epoch)) == batches.plan.steps_per_epoch == 5


def test_ranks_share_every_step(batches: PlannedBatches) -> None:
    ranks = [PlannedBatches(batches.plan, batches.collator, rank, 2) for rank in (0, 1)]

    for step in range(3):
        halves = [rank[step].ids.positive for rank in ranks]
        assert torch.equal(torch.cat(halves), batches[step].ids.positive)
