"""What a run took, it gives back: sweeps train many models in one process."""

import gc
import os
import subprocess
import sys
import tempfile
import weakref
from collections import Counter
from pathlib import Path

import pytest
import torch
from torch import nn

from benchmarks.soak import Sample, slope, verdict
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.training.activations import measure_activations
from tests.conftest import Command
from tests.processes import ROOT

MADE_FOR_A_RUN = ("hybrid_retrieval.", "hydra.", "lightning.", "omegaconf.", "torch.utils.", "wandb.")
"""Beginnings of classes' names; what Python, NumPy and PyTorch make is held by such objects, if at all."""


@pytest.mark.usefixtures("prepared")
def test_measuring_activations_does_not_keep_the_weights() -> None:
    """Autograd's graph is outside Python: a cycle in it would never be collected."""
    encoder = TextEncoder.load("tiny").train()
    weights = [weakref.ref(parameter) for parameter in encoder.parameters()]
    cost, _ = measure_activations(encoder, torch.arange(5, 40))
    assert cost.per_token > 0

    del encoder
    gc.collect()

    assert [reference for reference in weights if reference() is not None] == []


@pytest.mark.slow
def test_a_further_run_leaves_nothing_behind(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three runs in one process, with all loggers: no class has more objects after each."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    left, files = [], []
    for seed in range(3):
        run = tmp_path / str(seed)
        trained = command(
            *("train", "backbone=tiny", "global_batch_size=8", "data.workers=0", "data.validation_limit=4"),
            *("trainer.accelerator=cpu", "trainer.max_steps=2", "trainer.val_check_interval=1"),
            *("loss.grad_cache=true", "benchmark.limit=4", "benchmark@val_retrieval=world_facts_sample"),
            *("val_questions=4", "logger=wandb", "logger.tensorboard={folder: tensorboard}"),
            *(f"seed={seed}", f"hydra.run.dir={run}"),
        )
        assert trained.status == 0, trained.err
        where = (f"model={run}/model", f"hydra.run.dir={run}/evaluation")
        evaluated = command("evaluate", *where, "benchmark=world_facts_sample", "benchmark.limit=4")
        assert evaluated.status == 0, evaluated.err
        left.append(alive())
        files.append(sum(1 for _ in temporary.rglob("*")))
    assert (left[2] - left[1]) & (left[1] - left[0]) == Counter()  # W&B's threads come and go
    assert left[2]["lightning.pytorch.trainer.trainer.Trainer"] == 0
    assert left[2]["hybrid_retrieval.models.dual_encoder.DualEncoder"] == 0
    assert files[2] == files[1]


def alive() -> Counter[str]:
    """How many objects there are of each class of `MADE_FOR_A_RUN`, and weights."""
    gc.collect()
    objects = gc.get_objects()
    names = (f"{type(each).__module__}.{type(each).__qualname__}" for each in objects)
    found = Counter(name for name in names if name.startswith(MADE_FOR_A_RUN))
    return found + Counter(weights=sum(type(each) is nn.Parameter for each in objects))


SHAPES = """
from hybrid_retrieval.cli import run
assert run(["status", "--help"]) == 0
import torch
from hybrid_retrieval.training.hardware import resident_memory
numbers = torch.ones(1000, 64)
for rows in range(1, 1000):
    if rows == 400:
        before = resident_memory()
    torch.nn.functional.gelu(numbers[:rows])
print(resident_memory() - before)
"""


def test_batches_of_ever_new_shapes_take_no_further_memory() -> None:
    """With the 1024 primitives that oneDNN keeps otherwise, these 600 shapes take about 110 MB."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ONEDNN_")}
    done = subprocess.run(
        [sys.executable, "-c", SHAPES], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert int(done.stdout.split()[-1]) < 40e6


def samples(rate: float, *, files: float = 0.0, minutes: int = 60) -> list[Sample]:
    """Ten seconds apart, rounds of a minute of two kinds that differ by 100 MB, with some noise."""
    generator = torch.Generator().manual_seed(1)
    found = []
    for i in range(1, 6 * minutes + 1):
        number = (i - 1) // 6 + 1
        noise = 3 * float(torch.randn((), generator=generator))
        level = 500 + 100 * (number % 2) + rate * i / 360 + noise
        kind = "sweep" if number % 2 else "fit"
        counts = (20 + int(files * i / 360), 4, 0, 0.0, 0, 3)
        found.append(Sample(10.0 * i, number, kind, int(i % 6 == 0), level, level - 90, *counts))
    return found


@pytest.mark.parametrize(("rate", "state"), [(0, "flat"), (-50, "flat"), (60, "grows")])
def test_verdict_on_memory(rate: float, state: str) -> None:
    found = verdict(samples(rate))
    assert found["rss"]["state"] == state  # type: ignore[index]
    low, high = found["rss"]["interval"]  # type: ignore[index]
    assert low < rate < high
    assert found["flat"] is (state == "flat")


def test_verdict_on_open_files_and_on_too_short_a_time() -> None:
    assert verdict(samples(0, files=3))["files"]["state"] == "grows"  # type: ignore[index]
    assert verdict(samples(0, minutes=4))["rss"]["state"] == "unclear"  # type: ignore[index]


def test_slope_is_that_of_the_line() -> None:
    line = samples(0)
    found, low, high = slope(line, [7 * sample.seconds / 3600 for sample in line], draws=50)
    assert (found, low, high) == pytest.approx((7, 7, 7))
