"""A command that meets a full disk: one message, nothing half-written or lost, and the same line goes on."""

import errno
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.data import build, build_stages, language_stages, token_store
from hybrid_retrieval.data.open import prepare_data
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.stages import Stages
from hybrid_retrieval.data.token_store import TokenizedTexts
from hybrid_retrieval.errors import StorageError, UserError
from hybrid_retrieval.evaluation import results
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.sweeps.run_record import RunRecord
from hybrid_retrieval.training.assemble import assemble
from hybrid_retrieval.training.checkpoint_file import LAST_CHECKPOINT, damage_of
from hybrid_retrieval.training.run_lock import LOCK
from tests.conftest import Command, Outcome
from tests.integration.test_run import metrics_of, same_weights
from tests.own_data import ROWS, own_data_overrides
from tests.reliability.small_disks import SmallDisk

NO_SPACE = os.strerror(errno.ENOSPC)


def composed(overrides: list[str]) -> DictConfig:
    with initialize_config_dir(version_base="1.3", config_dir=str(config_folder())):
        return compose("train", overrides)


def one_message(outcome: Outcome, *words: str) -> str:
    """The only error that a command told of, with status 2 and without a traceback."""
    assert outcome.status == 2, outcome
    assert "Traceback" not in outcome.err, outcome.err
    assert "Logging error" not in outcome.err, outcome.err
    errors = [line for line in outcome.err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, outcome.err
    for each in (NO_SPACE, "Make room in ", *words):
        assert each in errors[0]
    return errors[0]


# What is written, and when the disk fills up: before which call of which function, and bytes that are left.
MOMENTS: list[tuple[str, Any, str, int, int]] = [
    ("checkpoints/last.ckpt", torch, "save", 2, 50_000),
    ("model", TextEncoder, "save", 1, 30_000),
    ("metrics.json", results, "atomic_file", 2, 0),
]


def checkpoint_step(run: Path) -> int:
    step: int = torch.load(run / "checkpoints" / LAST_CHECKPOINT, weights_only=True)["global_step"]
    return step


def test_run_that_meets_a_full_disk_again_and_again(
    command: Command, own_data: Path, tmp_path: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same line goes on each time, to the weights and the metrics of a run that met none."""
    line = ["train", *own_data_overrides(own_data), "trainer.checkpoint_every_n_steps=1", "resume=auto"]
    run, whole = disk.folder / "run", tmp_path / "whole"
    assert command(*line, f"hydra.run.dir={whole}").status == 0
    for written, owner, name, when, leave in MOMENTS:
        with monkeypatch.context() as patched:
            disk.full_before(patched, owner, name, when=when, leave=leave)
            outcome = command(*line, f"hydra.run.dir={run}")

        one_message(outcome, f"{run / written} could not be written")
        assert damage_of(run / "checkpoints" / LAST_CHECKPOINT) is None
        there = {path.name for path in run.iterdir()}
        order = ["model", "metrics.json"]
        for file in order[order.index(written) :] if written in order else []:
            assert file not in there, f"{file} of a run that failed at {written}"
        parts = {path for path in disk.files() if Path(path).name.startswith(".") and path != f"run/{LOCK}"}
        assert not parts
        record = RunRecord.read(run)
        assert record is not None
        assert record.state in ("running", "failed")
        assert record.checkpoint_step == checkpoint_step(run)
        disk.make_room()

    outcome = command(*line, f"hydra.run.dir={run}")
    assert outcome.status == 0, outcome
    assert same_weights(run, whole)
    assert metrics_of(run) == metrics_of(whole)
    logs = [(folder / "train_metrics.csv").read_text().splitlines() for folder in (run, whole)]
    assert [row.split(",")[0] for row in logs[0]] == [row.split(",")[0] for row in logs[1]]
    record = RunRecord.read(run)
    assert record is not None
    assert record.state == "finished"


def test_full_from_the_start(command: Command, own_data: Path, disk: SmallDisk) -> None:
    disk.fill()
    run = disk.folder / "run"
    line = ["train", *own_data_overrides(own_data), "evaluate=false", "trainer.max_steps=1"]
    line.append(f"hydra.run.dir={run}")

    one_message(command(*line))

    disk.make_room()
    assert command(*line).status == 0


PREPARING: dict[str, tuple[Any, str, int, int]] = {
    "reading a language": (language_stages, "spool_folder", 1, 0),
    "a mark of a stage": (Stages, "finish", 2, 0),
    "joining": (build_stages, "join_ids", 1, 0),
    "splits": (build_stages, "_write_splits", 1, 0),
    "the manifest": (build, "atomic_file", 1, 0),
}


@pytest.mark.parametrize("moment", PREPARING)
def test_prepare(own_data: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    cfg = composed([*own_data_overrides(own_data), "data.validation_fraction=0"])
    with monkeypatch.context() as patched:
        owner, name, when, leave = PREPARING[moment]
        disk.full_before(patched, owner, name, when=when, leave=leave)
        with pytest.raises(
            StorageError, match=f"^{disk.folder}/corpora/.*{NO_SPACE}.*the same line again, which goes on"
        ):
            prepare_data(cfg.data, str(disk.folder))

    assert not list(disk.folder.glob("corpora/*/corpus.json"))
    disk.make_room()
    (folder,) = prepare_data(cfg.data, str(disk.folder))
    assert len(ParallelCorpus.open(folder, "train")) == ROWS
    assert not list(disk.folder.glob("corpora/.*"))


def test_prepare_the_backbone(
    command: Command, own_data: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", str(disk.folder))
    line = ["prepare", "data=jsonl", f"data.path={own_data}", "backbone=tiny"]
    line += ["statistics=false", "data.validation_fraction=0"]
    from hybrid_retrieval.models import tiny  # noqa: PLC0415

    with monkeypatch.context() as patched:
        disk.full_before(patched, tiny, "write_tiny", leave=100_000)
        one_message(command(*line), f"{disk.folder}/backbones/")
    assert not list(disk.folder.glob("backbones/*")) + list(disk.folder.glob("backbones/.*"))
    disk.make_room()
    assert command(*line).status == 0


def test_statistics_are_shown_though_they_cannot_be_kept(
    command: Command, own_data: Path, disk: SmallDisk, monkeypatch: pytest.MonkeyPatch
) -> None:
    from hybrid_retrieval.data.statistics import remembered  # noqa: PLC0415

    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", str(disk.folder))
    disk.full_before(monkeypatch, remembered, "_keep")
    outcome = command("prepare", "data=jsonl", f"data.path={own_data}", "backbone=tiny")
    assert outcome.status == 0
    assert f"the statistics were not kept: {disk.folder}" in outcome.out + outcome.err
    assert not [name for name in disk.files() if Path(name).name.startswith(".") and "lock" not in name]


@pytest.mark.parametrize("once", ["auto", True])
def test_token_store(
    own_data: Path,
    disk: SmallDisk,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    once: Any,
) -> None:
    """Training goes on without it, unless it was asked for."""
    overrides = [*own_data_overrides(own_data), f"data.tokenize_once={once}", f"paths.cache={disk.folder}"]
    cfg = composed(overrides)
    disk.full_before(monkeypatch, token_store, "write_tokens")
    if once is True:
        with pytest.raises(UserError, match=f"{NO_SPACE}.*data.tokenize_once=false"):
            assemble(cfg)
    else:
        parts = assemble(cfg)
        assert isinstance(parts.data.collator.tokens, TokenizedTexts)
        assert [NO_SPACE in each for each in caplog.messages if "tokenised at every step" in each] == [True]
    assert not [name for name in disk.files() if "tokens" in name and not name.endswith(".lock")]
