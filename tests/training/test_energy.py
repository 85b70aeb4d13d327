import ctypes
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from hybrid_retrieval.training.energy import energy_of_run, gpu_joules

GPU = torch.device("cuda", 0)


class FakeNvml:
    """Answers as the driver's library does: 0 and a value written where it was asked for."""

    def __init__(self, millijoules: int, *, energy: int = 0, handle: int = 0, init: int = 0) -> None:
        self.millijoules, self.results = millijoules, (init, handle, energy)
        self.uuid, self.open = b"", 0

    def nvmlInit_v2(self) -> int:  # noqa: N802
        self.open += self.results[0] == 0
        return self.results[0]

    def nvmlDeviceGetHandleByUUID(self, uuid: bytes, handle: Any) -> int:  # noqa: N802
        self.uuid = uuid
        handle._obj.value = 1234
        return self.results[1]

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: ctypes.c_void_p, energy: Any) -> int:  # noqa: N802
        assert handle.value == 1234
        energy._obj.value = self.millijoules
        return self.results[2]

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1


@pytest.fixture(autouse=True)
def a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    properties = SimpleNamespace(uuid="11111111-2222-3333-4444-555555555555")
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: properties)


def test_the_counter_of_the_processs_own_gpu_is_read() -> None:
    nvml = FakeNvml(7_654_321)

    assert gpu_joules(GPU, nvml) == 7654.321
    assert nvml.uuid == b"GPU-11111111-2222-3333-4444-555555555555"
    assert nvml.open == 0


@pytest.mark.parametrize("refusal", ["init", "handle", "energy"])
def test_a_driver_that_cannot_tell_is_not_believed(refusal: str) -> None:
    nvml = FakeNvml(5, **{refusal: 3})

    assert gpu_joules(GPU, nvml) is None
    assert nvml.open == 0


def test_without_a_gpu_or_a_driver_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    assert gpu_joules(torch.device("cpu"), FakeNvml(5)) is None
    monkeypatch.setattr("hybrid_retrieval.training.energy._LIBRARY", "libthat-does-not-exist.so")
    assert gpu_joules(GPU) is None


def trainer_of(world_size: int) -> Any:
    return SimpleNamespace(world_size=world_size)


def test_the_energy_of_a_run_is_the_difference() -> None:
    assert energy_of_run(trainer_of(1), 100.0, 350.04) == {"energy_joules": 250.0}
    assert energy_of_run(trainer_of(1), None, 350.0) == {}
    assert energy_of_run(trainer_of(1), 100.0, None) == {}
    assert energy_of_run(trainer_of(2), 100.0, 350.0) == {}  # the other process is gone
