"""The same seed on the same machine gives the same files, whatever else differs between two processes."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.configuration_hash import configuration_hash
from hybrid_retrieval.training.assemble import assemble
from hybrid_retrieval.training.check_options import check_options
from hybrid_retrieval.training.trainer import make_trainer
from tests.own_data import own_data_overrides
from tests.processes import ROOT
from tests.reliability.test_exact_resume import rows_of

# Right-to-left, without spaces, and with letters outside ASCII; neither encoding is UTF-8 by a variable.
DATA = (
    "debug=fast",
    "data.languages=[ar,de,ja]",
    "data.clean.near_duplicates=0.9",
    "sampler.language_tau=0.5",
)
DIFFERENT: list[tuple[dict[str, str], str]] = [
    ({"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"}, "data.workers=0"),
    (
        {"PYTHONHASHSEED": "4711", "LC_ALL": "C", "TZ": "America/St_Johns", "PYTHONUTF8": "0",
         "PYTHONCOERCECLOCALE": "0", "COLUMNS": "40"},
        "data.workers=2",
    ),
]  # fmt: skip


def run_of(folder: Path, environment: dict[str, str], overrides: list[str]) -> Path:
    """A run in a process of its own, with a cache and temporary files of its own."""
    (folder / "temporary").mkdir(parents=True)
    own = {"OMP_NUM_THREADS": "1", "TMPDIR": str(folder / "temporary"), **environment}
    line = ["train", *overrides, f"paths.cache={folder / 'cache'}", f"hydra.run.dir={folder / 'run'}"]
    done = subprocess.run(
        [sys.executable, "-m", "hybrid_retrieval", *line],
        cwd=ROOT,
        env={**os.environ, **own},
        capture_output=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr.decode(errors="replace")
    return folder / "run"


def untimed(run: Path) -> dict[str, Any]:
    """metrics.json without the two places that hold times."""
    metrics: dict[str, Any] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    assert metrics.pop("seconds").keys() == {"encode", "rank"}
    assert metrics["run"].pop("train_seconds") > 0
    return metrics


def test_two_processes_give_the_same_files(tmp_path: Path) -> None:
    overrides = [
        *DATA,
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
        "backbone.dropout=0.1",
    ]
    one, other = (
        run_of(tmp_path / str(number), environment, [*overrides, workers])
        for number, (environment, workers) in enumerate(DIFFERENT)
    )

    assert untimed(one) == untimed(other)
    for file in ("per_query.parquet", "model/model.safetensors", "model/tokenizer.json"):
        assert (one / file).read_bytes() == (other / file).read_bytes(), file
    assert rows_of(one) == rows_of(other)
    assert len(rows_of(one)) >= 4


@pytest.fixture
def torch_as_before() -> Iterator[None]:
    before = os.environ.get("CUBLAS_WORKSPACE_CONFIG")
    yield
    torch.use_deterministic_algorithms(False)
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    if before is not None:
        os.environ["CUBLAS_WORKSPACE_CONFIG"] = before


def configured(data: Path, cache: Path, *overrides: str) -> DictConfig:
    with initialize_config_dir(str(config_folder()), version_base="1.3"):
        return compose("train", [*own_data_overrides(data), f"paths.cache={cache}", *overrides])


@pytest.mark.usefixtures("torch_as_before")
def test_deterministic_kernels_are_asked_for_and_no_longer_in_the_next_run_of_a_sweep(
    own_data: Path, command_cache: Path, tmp_path: Path
) -> None:
    """The switches alone: that GPU kernels follow them was not run."""
    os.environ.pop("CUBLAS_WORKSPACE_CONFIG", None)
    for setting in (True, False):
        cfg = configured(own_data, command_cache, f"trainer.deterministic={str(setting).lower()}")
        check_options(cfg)
        make_trainer(cfg, tmp_path, assemble(cfg), has_validation=False)

        assert torch.are_deterministic_algorithms_enabled() is setting
        assert not torch.is_deterministic_algorithms_warn_only_enabled()
        if setting:
            assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"


@pytest.mark.usefixtures("torch_as_before")
def test_every_operation_of_training_has_a_deterministic_kernel(
    own_data: Path, command_cache: Path, tmp_path: Path
) -> None:
    """On the CPU, where PyTorch raises for an operation that has none there."""
    cfg = configured(own_data, command_cache, "trainer.deterministic=true", "trainer.max_steps=1",
                     "trainer.val_check_interval=null", "loss.grad_cache=true",
                     "loss.terms.language_centring=0.1", "loss.terms.query_alignment=0.1")  # fmt: skip
    parts = assemble(cfg)
    trainer = make_trainer(cfg, tmp_path, parts, has_validation=False)
    trainer.fit(parts.model, datamodule=parts.data)

    assert trainer.global_step == 1


def test_a_value_that_is_no_switch_is_refused(own_data: Path, tmp_path: Path) -> None:
    """`warn` leaves attention's backward pass as it is."""
    with pytest.raises(UserError, match=r"trainer\.deterministic"):
        check_options(configured(own_data, tmp_path, "trainer.deterministic=warn"))


def test_a_run_goes_on_with_or_without_it(own_data: Path, tmp_path: Path) -> None:
    hashes = {configuration_hash(configured(own_data, tmp_path, f"trainer.deterministic={value}"))
              for value in ("true", "false")}  # fmt: skip
    assert len(hashes) == 1
