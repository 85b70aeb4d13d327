"""What a run took, it gives back: sweeps train many models in one process."""

import gc
import weakref

import pytest
import torch

from benchmarks.soak import Sample, slope, verdict
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.training.activations import measure_activations


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
