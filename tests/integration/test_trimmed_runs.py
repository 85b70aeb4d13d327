"""Runs with trimmed embeddings: GradCache, best checkpoint, resuming, scripts that were never trained on."""

import json
from pathlib import Path

import pytest
import torch

from tests.conftest import Command
from tests.integration.interrupt import InterruptAfter
from tests.integration.test_run import log_of, same_weights, trained, weights_of
from tests.own_data import own_data_overrides

OTHERS = {"el": "Πού βρίσκεται ο αριθμός", "th": "หมายเลขนี้อยู่ที่ไหน", "zh": "这个号码在哪里"}
METRICS = ("val/loss", "val_retrieval/map_multilingual", "val_retrieval/map_cross_lingual")


@pytest.fixture(scope="module")
def other_scripts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A parallel data set in scripts of which the training texts have no token."""
    folder = tmp_path_factory.mktemp("other") / "scripts"
    folder.mkdir()
    for language, words in OTHERS.items():
        rows = [
            {"id": str(i), "question": f"{words} {i}", "passage": f"{i} {words[: 3 + i % 9]} {i * i}"}
            for i in range(30)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{language}.jsonl").write_text(lines, encoding="utf-8")
    return folder


def test_trimmed_runs_resume_exactly_and_equal_a_run_with_the_whole_matrix(
    command: Command, own_data: Path, other_scripts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    overrides = [
        *("trainer.max_steps=7", "trainer.checkpoint_every_n_steps=3", "trainer.val_check_interval=2"),
        *("trainer.monitor=val/loss", "loss.grad_cache=true", "optim.weight_decay=0.5", "evaluate=false"),
        "trainer.precision=32-true",  # rounding in bf16 is coarser than the bound
        *("benchmark@val_retrieval=parallel", f"val_retrieval.path={other_scripts}"),
        *("val_retrieval.validation_fraction=0.5", "val_questions=null"),
    ]
    trimmed = [*overrides, "optim.trim_embeddings=true"]
    outcome = trained(command, own_data, tmp_path / "trimmed", *trimmed)
    assert "training the embeddings of" in outcome.err + outcome.out
    assert "was not trained" not in outcome.err
    run = tmp_path / "broken"
    with monkeypatch.context() as patched:
        InterruptAfter(5).install(patched)
        broken = command("train", *own_data_overrides(own_data), f"hydra.run.dir={run}", *trimmed)
    assert broken.status == 1
    options = (f"hydra.run.dir={run}", *overrides, "optim.trim_embeddings=false", "resume=true")
    refused = command("train", *own_data_overrides(own_data), *options)
    assert refused.status == 2
    assert "set optim.trim_embeddings=true" in refused.err
    trained(command, own_data, run, *trimmed, "resume=true")
    trained(command, own_data, tmp_path / "whole", *overrides, "optim.trim_embeddings=false")

    assert same_weights(run, tmp_path / "trimmed")
    for metric in METRICS:
        values = log_of(tmp_path / "trimmed", metric)
        assert len(values) == 3
        assert log_of(run, metric) == values
        assert log_of(tmp_path / "whole", metric) == pytest.approx(values, abs=1e-5)
    one, other = weights_of(tmp_path / "whole"), weights_of(tmp_path / "trimmed")
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(other[name], value, atol=2e-5, rtol=0, msg=name)


@pytest.mark.parametrize(
    ("overrides", "named"),
    [
        (["optim.trim_embeddings=maybe"], "optim.trim_embeddings=maybe must be true, false or auto"),
        (["data.tokenize_once=1"], "data.tokenize_once=1 must be true, false or auto"),
        (["optim.trim_embeddings=true", "data.tokenize_once=false"], "set data.tokenize_once=auto"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    command: Command, own_data: Path, tmp_path: Path, overrides: list[str], named: str
) -> None:
    outcome = command("train", *own_data_overrides(own_data), f"hydra.run.dir={tmp_path}", *overrides)

    assert outcome.status == 2
    assert named in outcome.err


def test_tokenising_once_or_at_every_step_trains_the_same(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    """Without trimming, which tokenising at every step excludes, and which rounds differently."""
    for name, once in (("once", "true"), ("anew", "false")):
        options = (f"data.tokenize_once={once}", "optim.trim_embeddings=false", "evaluate=false")
        trained(command, own_data, tmp_path / name, *options)

    assert same_weights(tmp_path / "once", tmp_path / "anew")
    assert log_of(tmp_path / "once", "train/loss") == log_of(tmp_path / "anew", "train/loss")
