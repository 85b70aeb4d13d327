"""A run that is killed again and again (SIGKILL, ten times, everywhere) ends as one that nobody disturbed."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.integration.test_run import metrics_of, weights_of
from tests.own_data import own_data_overrides
from tests.reliability.faults import PLACES, ten_places
from tests.reliability.forked_runs import Ended, ForkedRuns

STEPS = 12
# 49 training rows: an epoch of 4 steps; some steps have a checkpoint, a validation, both or neither.
EVERY = {"last": STEPS, "saves": 2, "validates": 3, "epoch": 4}
OVERRIDES = [
    *(f"trainer.max_steps={STEPS}", "trainer.val_check_interval=3", "global_batch_size=16", "resume=auto"),
    *("trainer.log_every_n_steps=1", "trainer.checkpoint_every_n_steps=2", "trainer.monitor=val/loss"),
    *("backbone.dropout=0.1", "optim.lr=0.02"),
]
SPEEDS = ("per_second", "matrix_peak_share", "padding_share")
SCHEDULE = "sampler.alpha={start: 1.0, end: 0.2, schedule: linear}"


class Runs:
    """Runs of one configuration, with and without faults.

    Args:
        forked: starts them.
        data: of `write_own_data`.
        folder: gets the run folders and the notes.
        overrides: of the configuration.
        ranks: processes.
    """

    def __init__(
        self, forked: ForkedRuns, data: Path, folder: Path, overrides: tuple[str, ...] = (), ranks: int = 1
    ) -> None:
        self.forked, self.folder, self.ranks = forked, folder, ranks
        self.line = ["train", *own_data_overrides(data), *OVERRIDES, *overrides]

    def start(self, name: str, *, ranks: int | None = None, timeout: float = 120, **faults: Any) -> Ended:
        """Start, or go on with, the run of a name."""
        run, ranks = self.folder / name, ranks or self.ranks
        line = [*self.line, f"hydra.run.dir={run}"]
        if ranks > 1:
            line += [f"trainer.devices={ranks}", "trainer.strategy=ddp"]
        return self.forked(
            line,
            self.folder / f"{name}.log",
            ranks=ranks,
            faults={"notes": str(run), **faults},
            timeout=timeout,
        )

    def whole(self, name: str = "whole") -> Path:
        """The run that nobody disturbs."""
        ended = self.start(name)
        assert ended.statuses == [0] * self.ranks, ended.output
        return self.folder / name

    def killed(self, kills: list[tuple[str, int]], name: str = "killed") -> Path:
        """A run that is killed at each of some places, and goes on each time."""
        for place, step in kills:
            ended = self.start(name, place=place, step=step)
            assert ended.statuses == [-9] * self.ranks, (place, step, ended.output)
        hits = [json.loads(line)[0] for line in (self.folder / f"{name}.hits").read_text().splitlines()]
        assert hits == [place for place, _ in kills]
        return self.whole(name)


def same_run(killed: Path, whole: Path, ranks: int = 1) -> None:
    """Batches, training log, metrics, weights and optimiser, bit for bit."""
    for rank in range(ranks):
        theirs, ours = batches_of(whole, rank), batches_of(killed, rank)
        assert list(theirs) == list(ours) == list(range(STEPS))
        assert ours == theirs
    assert rows_of(killed) == rows_of(whole)
    assert metrics_of(killed) == metrics_of(whole)
    assert_equal(weights_of(killed), weights_of(whole))
    assert_equal(*(checkpoint_of(folder) for folder in (killed, whole)))


def batches_of(run: Path, rank: int) -> dict[int, Any]:
    """What a rank trained on at each step; what it saw more than once must be the same each time."""
    found: dict[int, Any] = {}
    for line in Path(f"{run}.batches-{rank}").read_text(encoding="utf-8").splitlines():
        step, *batch = json.loads(line)
        assert found.setdefault(step, batch) == batch
    return dict(sorted(found.items()))


def global_batches_of(run: Path) -> dict[int, list[Any]]:
    """The pairs of every step, put together from the ranks that it was divided among."""
    shares: dict[tuple[int, int], list[Any]] = {}
    for rank in range(2):
        file = Path(f"{run}.batches-{rank}")
        for line in file.read_text(encoding="utf-8").splitlines() if file.exists() else ():
            step, world, pairs, _ = json.loads(line)
            shares.setdefault((step, world), [None] * world)[rank] = pairs
    found: dict[int, list[Any]] = {}
    for (step, _), parts in sorted(shares.items()):
        if None not in parts:  # the other rank was killed before it began
            pairs = [pair for part in parts for pair in part]
            assert found.setdefault(step, pairs) == pairs
    return found


def rows_of(run: Path) -> dict[int, dict[str, str]]:
    with (run / "train_metrics.csv").open(newline="", encoding="utf-8") as file:
        return {
            int(row["step"]): {k: v for k, v in row.items() if v and not k.endswith(SPEEDS)}
            for row in csv.DictReader(file)
        }


def checkpoint_of(run: Path) -> dict[str, Any]:
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True, map_location="cpu")
    return {name: content[name] for name in ("state_dict", "optimizer_states", "lr_schedulers", "epoch")}


def assert_equal(one: Any, other: Any) -> None:
    """Nested tensors and values, bit for bit."""
    if isinstance(one, torch.Tensor):
        assert torch.equal(one, other)
    elif isinstance(one, dict):
        assert one.keys() == other.keys()
        for name in one:
            assert_equal(one[name], other[name])
    elif isinstance(one, list | tuple):
        assert len(one) == len(other)
        for a, b in zip(one, other, strict=True):
            assert_equal(a, b)
    else:
        assert one == other


def test_killed_ten_times(forked: ForkedRuns, own_data: Path, tmp_path: Path) -> None:
    runs = Runs(forked, own_data, tmp_path)
    kills = ten_places(seed=2, **EVERY)
    assert {place for place, _ in kills} == set(PLACES)

    same_run(runs.killed(kills), runs.whole())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [2, 3])
@pytest.mark.parametrize(
    ("overrides", "ranks"),
    [
        (("data.workers=2",), 1),
        (("loss.grad_cache=true", SCHEDULE), 1),
        ((), 2),
        (("data.workers=2", "loss.grad_cache=true", SCHEDULE), 2),
    ],
    ids=["2 workers", "GradCache, alpha schedule", "2 ranks", "2 ranks, 2 workers, GradCache, schedule"],
)
def test_killed_ten_times_in_other_ways_of_training(  # noqa: PLR0917 (fixtures)
    forked: ForkedRuns,
    own_data: Path,
    tmp_path: Path,
    overrides: tuple[str, ...],
    ranks: int,
    seed: int,
) -> None:
    runs = Runs(forked, own_data, tmp_path, overrides, ranks)

    same_run(runs.killed(ten_places(seed, **EVERY)), runs.whole(), ranks)


@pytest.mark.slow
def test_number_of_processes_changes_between_starts(
    forked: ForkedRuns, own_data: Path, tmp_path: Path
) -> None:
    """2, 1, 2: the same global batches; sums of floats are in another order. Dropout is each rank's own."""
    # resume=auto refuses a configuration that is not that of the run. AdamW's usual eps, 1e-8, would make
    # steps of the size of optim.lr out of gradients that are nothing but rounding.
    overrides = ("backbone.dropout=0.0", "optim.eps=0.001", "resume=true")
    runs = Runs(forked, own_data, tmp_path, overrides)
    whole, run = runs.whole(), tmp_path / "run"

    assert runs.start("run", ranks=2, place="in a step", step=5).statuses == [-9, -9]
    assert runs.start("run", ranks=1, place="after a validation", step=9).statuses == [-9]
    ended = runs.start("run", ranks=2)

    assert ended.statuses == [0, 0], ended.output
    batches = global_batches_of(run)
    assert list(batches) == list(range(STEPS))
    assert batches == global_batches_of(whole)
    for name, value in weights_of(whole).items():
        torch.testing.assert_close(weights_of(run)[name], value, atol=1e-5, rtol=1e-4)
    rows, theirs = rows_of(run), rows_of(whole)
    assert list(rows) == list(theirs)
    for step, row in theirs.items():
        for column in ("train/loss", "val/loss", "train/gradient_norm"):
            assert (column in rows[step]) is (column in row)
            assert float(rows[step].get(column, 0)) == pytest.approx(float(row.get(column, 0)), rel=1e-3)
