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
from hybrid_retrieval.training.determinism import nondeterminism_explained
from hybrid_retrieval.training.step_seed import StepSeed
from hybrid_retrieval.training.trainer import make_trainer
from tests.conftest import Command, Outcome
from tests.own_data import own_data_overrides
from tests.processes import ROOT
from tests.reliability.test_exact_resume import rows_of

# Right-to-left, without spaces, and with letters outside ASCII; neither encoding is UTF-8 by a variable.
TEXTS = {
    "ar": ("أين الرقم {i}؟", "الرقم {i} على الرف {shelf} في الغرفة {room} من المبنى الكبير."),
    "de": (
        "Wo ist die Nummer {i}?",
        "Nummer {i} steht im Fach {shelf}, in Raum {room} des großen Gebäudes.",
    ),
    "ja": ("{i}番はどこですか。", "{i}番は大きな建物の{room}号室の{shelf}番の棚にあります。"),
}
ROWS, REPEATED = 60, 10
OVERRIDES = ("data.clean.near_duplicates=0.8", "sampler.language_tau=0.5", "backbone.dropout=0.1")
DIFFERENT: list[tuple[dict[str, str], str]] = [
    ({"PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo"}, "data.workers=0"),
    (
        {"PYTHONHASHSEED": "4711", "LC_ALL": "C", "TZ": "America/St_Johns", "PYTHONUTF8": "0",
         "PYTHONCOERCECLOCALE": "0", "COLUMNS": "40"},
        "data.workers=2",
    ),
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rows of which the last few are nearly those before them."""
    folder = tmp_path_factory.mktemp("own")
    for language, (question, passage) in TEXTS.items():
        rows = []
        for number in range(ROWS):
            i, end = number % (ROWS - REPEATED), "!" * (number // (ROWS - REPEATED))
            values = {"i": i, "shelf": i % 7, "room": i * i}
            texts = {"question": question.format(**values) + end, "passage": passage.format(**values) + end}
            rows.append(json.dumps({"id": str(number), **texts}, ensure_ascii=False))
        (folder / f"{language}.jsonl").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return folder


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


def test_two_processes_give_the_same_files(data: Path, tmp_path: Path) -> None:
    one, other = (
        run_of(tmp_path / str(number), environment, [*own_data_overrides(data), *OVERRIDES, workers])
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
    cfg = configured(own_data, command_cache)
    parts = assemble(cfg)
    for value in (True, "warn", False):
        cfg.trainer.deterministic = value
        check_options(cfg)
        make_trainer(cfg, tmp_path, parts, has_validation=False)

        assert torch.are_deterministic_algorithms_enabled() is bool(value)
        assert torch.is_deterministic_algorithms_warn_only_enabled() is (value == "warn")
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


@pytest.mark.usefixtures("torch_as_before")
@pytest.mark.filterwarnings("ignore:put_ does not have a deterministic implementation")
def test_an_operation_without_a_deterministic_kernel_is_named(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`put_` is one on every device."""

    def put(*_: object) -> None:
        torch.zeros(1).put_(torch.tensor([0]), torch.ones(1))

    monkeypatch.setattr(StepSeed, "on_train_batch_start", put)
    line = ["train", *own_data_overrides(own_data), "evaluate=false", "trainer.max_steps=1"]

    def run(value: str) -> Outcome:
        return command(*line, f"trainer.deterministic={value}", f"hydra.run.dir={tmp_path / value}")

    refused = run("true")
    assert refused.status == 2
    (message,) = [row for row in refused.err.splitlines() if row.startswith("error: ")]
    assert "no kernel of put_ that adds in one order" in message
    assert "trainer.deterministic=warn" in message
    assert "Traceback" not in refused.err
    assert run("warn").status == 0


def test_other_errors_stay_as_they_are() -> None:
    with pytest.raises(RuntimeError, match="shapes do not fit"), nondeterminism_explained():
        raise RuntimeError("shapes do not fit")


@pytest.mark.parametrize("value", ["always", "null", "1", "'true'"])
def test_a_value_that_is_no_switch_is_refused(own_data: Path, tmp_path: Path, value: str) -> None:
    with pytest.raises(UserError, match=r"trainer\.deterministic=.* must be true, false or warn"):
        check_options(configured(own_data, tmp_path, f"trainer.deterministic={value}"))


def test_a_run_goes_on_with_or_without_it(own_data: Path, tmp_path: Path) -> None:
    hashes = {configuration_hash(configured(own_data, tmp_path, f"trainer.deterministic={value}"))
              for value in ("true", "false", "warn")}  # fmt: skip
    assert len(hashes) == 1
