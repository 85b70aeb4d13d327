"""`hybrid-retrieval train` with every term, alone and composed, on the tiny backbone."""

import csv
import logging
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.losses.objective import Objective
from hybrid_retrieval.losses.terms.registry import TERMS
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.pooling import Dense
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.training.loss_inputs import check_teacher_language
from tests.conftest import Command
from tests.integration.interrupt import InterruptAfter
from tests.own_data import own_data_overrides
from tests.refusal import refused

QUICK = ["evaluate=false", "trainer.max_steps=2", "trainer.val_check_interval=null", "loss.grad_cache=true"]


def trained(command: Command, data: Path, folder: Path, *overrides: str) -> None:
    outcome = command("train", *own_data_overrides(data), f"hydra.run.dir={folder}", *QUICK, *overrides)
    assert outcome.status == 0, outcome


def log_of(folder: Path, column: str) -> list[float]:
    with (folder / "train_metrics.csv").open(newline="", encoding="utf-8") as file:
        return [float(row[column]) for row in csv.DictReader(file) if row.get(column)]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folder of the run without terms, once it is there."""
    return {"folder": tmp_path_factory.mktemp("plain")}


@pytest.mark.parametrize("term", TERMS)
def test_every_term_trains_and_changes_the_weights(
    command: Command, own_data: Path, tmp_path: Path, plain: dict[str, Path], term: str
) -> None:
    if not (plain["folder"] / "model").exists():
        trained(command, own_data, plain["folder"], "sampler=x_y")
    trained(command, own_data, tmp_path, "sampler=x_y", f"loss.terms.{term}=0.5")

    assert len(log_of(tmp_path, f"train/{term}")) == 2
    for extra in TERMS[term].needs:
        if extra.startswith("parallel"):
            assert log_of(tmp_path, f"train/{extra}_share") == [1, 1]
    assert not same(weights_of(tmp_path), weights_of(plain["folder"]))
    # What a term trains of its own is no part of the exported model.
    assert weights_of(tmp_path).keys() == weights_of(plain["folder"]).keys()


@pytest.mark.parametrize(
    ("choice", "columns"),
    [
        (["loss=alignment", "loss.terms.variance=0.1"], ["query_alignment", "passage_alignment", "variance"]),
        (["loss=distillation", "loss.teacher=tiny", "data.max_passage_length=16"], ["distillation"]),
        (
            ["loss=multilingual_distillation", "loss.terms.distillation=1"],
            ["teacher_alignment", "distillation"],
        ),
        (["loss=score_agreement", "loss.terms.distillation=0.5"], ["score_agreement", "distillation"]),
        (["loss=language_adversary", "optim.trim_embeddings=true"], ["language_adversary"]),
        (["loss=salient_view", "loss.term_options.salient_view.keep=0.5"], ["salient_view"]),
    ],
    ids=lambda value: value[0] if "=" in value[0] else None,
)
def test_compositions(
    command: Command, own_data: Path, tmp_path: Path, choice: list[str], columns: list[str]
) -> None:
    trained(command, own_data, tmp_path, *choice)

    assert all(len(log_of(tmp_path, f"train/{column}")) == 2 for column in columns)


def test_the_initial_teacher_and_the_same_model_by_name_are_one_teacher(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    """The second is tokenised for apart; neither changes with the model, nor with trimmed embeddings."""
    for name, overrides in {
        "initial": ["optim.trim_embeddings=true"],
        "named": ["loss.teacher=tiny", "optim.trim_embeddings=true"],
        "whole": ["loss.teacher=initial", "optim.trim_embeddings=false"],
    }.items():
        trained(command, own_data, tmp_path / name, "loss.terms.distillation=5", "optim.lr=0.01", *overrides)

    values = log_of(tmp_path / "initial", "train/distillation")
    assert values[0] == pytest.approx(0, abs=1e-6)
    assert values[1] > 1e-4
    assert log_of(tmp_path / "named", "train/distillation") == pytest.approx(values, abs=1e-6)
    assert log_of(tmp_path / "whole", "train/distillation") == pytest.approx(values, abs=1e-5)


def test_a_teacher_that_reads_english(command: Command, own_data: Path, tmp_path: Path) -> None:
    """Of its own texts the student has the teacher's embeddings at the first step, of English it has not."""
    aligned = ["sampler=x_y", "loss.terms.teacher_alignment=1", "trainer.precision=32-true"]
    runs = {
        "null": ["loss.teacher_language=null"],
        "en": ["loss.teacher_language=en"],
        "named": ["loss.teacher_language=en", "loss.teacher=tiny", "data.tokenize_once=false"],
    }
    for name, overrides in runs.items():
        trained(command, own_data, tmp_path / name, *aligned, *overrides)
    values = {name: log_of(tmp_path / name, "train/teacher_alignment") for name in runs}
    first = {name: log_of(tmp_path / name, "train/info_nce")[0] for name in runs}

    assert values["null"][0] == pytest.approx(0, abs=1e-6)
    assert values["en"][0] > 1e-3
    assert values["named"] == pytest.approx(values["en"], abs=1e-5)
    assert first["null"] == first["en"]
    assert not same(weights_of(tmp_path / "null"), weights_of(tmp_path / "en"))


def test_a_teacher_whose_language_all_texts_are_in(command: Command, own_data: Path, tmp_path: Path) -> None:
    """Then the setting changes nothing, to the bit."""
    for name in ("null", "en"):
        overrides = ["sampler=en_en", "loss.terms.teacher_alignment=1", f"loss.teacher_language={name}"]
        trained(command, own_data, tmp_path / name, *overrides)

    for column in ("train/loss", "train/teacher_alignment"):
        assert log_of(tmp_path / "null", column) == log_of(tmp_path / "en", column)
    assert same(weights_of(tmp_path / "null"), weights_of(tmp_path / "en"))


def test_a_teacher_of_another_size(command: Command, own_data: Path, tmp_path: Path) -> None:
    """Its scores can be learned, its embeddings cannot."""
    encoder = TextEncoder.from_folder(prepare_tiny(tmp_path / "tiny"), name="tiny")
    encoder.dense = torch.nn.Sequential(Dense(encoder.dimension, 24))
    encoder.save(tmp_path / "small")
    arguments = [*own_data_overrides(own_data), *QUICK, f"loss.teacher={tmp_path / 'small'}"]

    refused(
        command,
        "train",
        *arguments,
        "loss.terms.teacher_alignment=1",
        f"hydra.run.dir={tmp_path / 'refused'}",
        says=["loss.terms.teacher_alignment", "small has 24 dimensions, tiny 64", "loss.terms.distillation"],
    )

    assert not (tmp_path / "refused").exists()
    distilled = [
        f"loss.teacher={tmp_path / 'small'}",
        "loss.terms.distillation=1",
        "loss.teacher_language=en",
    ]
    trained(command, own_data, tmp_path / "distilled", *distilled)
    assert len(log_of(tmp_path / "distilled", "train/distillation")) == 2


def test_a_teachers_settings_without_a_term_that_has_one_are_warned_of(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for name, weight in (("teacher_alignment", 1.0), ("distillation", 1.0), ("teacher_alignment", 0.0)):
        with caplog.at_level(logging.WARNING):
            check_teacher_language("en", Objective(InfoNCE(), {name: weight}), ["de", "en"])
        assert (caplog.messages == []) == (weight > 0)
    assert caplog.messages == ["loss.teacher_language=en has no effect: no term in use has a teacher"]
    caplog.clear()
    check_teacher_language(None, Objective(InfoNCE()), ["de", "en"])
    assert not caplog.messages


def test_resumed_run_equals_an_uninterrupted_one(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The adversary's weights and moments are in the checkpoint; translations and views are drawn again."""
    overrides = ["trainer.max_steps=5", "trainer.checkpoint_every_n_steps=2", "backbone.dropout=0.1"]
    overrides += [f"loss.terms.{name}=0.5" for name in ("language_adversary", "query_alignment")]
    overrides += ["loss.terms.salient_view=0.5", "loss.terms.distillation=0.5"]
    trained(command, own_data, tmp_path / "whole", *overrides)
    run = tmp_path / "broken"
    with monkeypatch.context() as patched:
        InterruptAfter(3).install(patched)
        outcome = command("train", *own_data_overrides(own_data), f"hydra.run.dir={run}", *QUICK, *overrides)
        assert outcome.status == 1

    trained(command, own_data, run, *overrides, "resume=true")

    assert same(weights_of(run), weights_of(tmp_path / "whole"))
    checkpoints = [
        torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
        for folder in (run, tmp_path / "whole")
    ]
    assert same(*checkpoints)
    assert any("language_adversary" in name for name in checkpoints[0])
    assert not any("teacher" in name for name in checkpoints[0])
    for column in ("train/loss", "train/language_adversary", "train/salient_view"):
        assert log_of(run, column) == log_of(tmp_path / "whole", column)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (
            ["loss.teacher=nonsense", "loss.terms.distillation=1"],
            "loss.teacher=nonsense: there is no backbone",
        ),
        (["loss.teacher=./nowhere", "loss.terms.distillation=1"], "loss.teacher=./nowhere: the model folder"),
        (["loss.teacher=3"], "loss.teacher=3 must be initial"),
        (
            ["loss.teacher_language=fr", "loss.terms.teacher_alignment=1"],
            "loss.teacher_language=fr must be a training language (de, en), or null.",
        ),
        (["loss.teacher_language=3"], "loss.teacher_language=3 must be a training language (de, en)"),
        (
            ["loss=multilingual_distillation", "data.languages=[de]", "sampler=x_x_mono"],
            "loss.teacher_language=en must be a training language (de)",
        ),
        (["sampler=en_en", "loss.terms.query_alignment=0.1"], "loss.terms.query_alignment=0.1 compares"),
        (["loss.terms.salient_view=-1"], "loss.terms.salient_view=-1"),
        (["loss.term_options.salient_view.keep=2"], "loss.term_options.salient_view.keep=2"),
    ],
)
def test_mistakes_are_refused_before_training(
    command: Command, own_data: Path, tmp_path: Path, overrides: list[str], message: str
) -> None:
    outcome = command("train", *own_data_overrides(own_data), f"hydra.run.dir={tmp_path}", *overrides)

    assert outcome.status == 2
    assert message in outcome.err
    assert not (tmp_path / "checkpoints").exists() or not any((tmp_path / "checkpoints").iterdir())
