"""Whole runs of `train`, `evaluate` and `compare` with the tiny backbone on a data set of one's own."""

import csv
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch.callbacks import Callback
from safetensors.torch import load_file

from hybrid_retrieval.models.export import weights_to_save
from tests.conftest import Command, Outcome
from tests.integration.interrupt import InterruptAfter
from tests.own_data import own_data_overrides

CONTRACT = {".hydra", "checkpoints", "model", "metrics.json", "train_metrics.csv", "summary.md"}


def trained(command: Command, data: Path, folder: Path, *overrides: str) -> Outcome:
    outcome = command("train", *own_data_overrides(data), f"hydra.run.dir={folder}", *overrides)
    assert outcome.status == 0, outcome
    return outcome


def metrics_of(folder: Path, *, drop: tuple[str, ...] = ("seconds", "environment", "run")) -> dict[str, Any]:
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return {key: value for key, value in metrics.items() if key not in drop}


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model" / "model.safetensors")


def same_weights(one: Path, other: Path) -> bool:
    a, b = weights_of(one), weights_of(other)
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def log_of(folder: Path, column: str) -> dict[int, float]:
    with (folder / "train_metrics.csv").open(newline="", encoding="utf-8") as file:
        return {int(row["step"]): float(row[column]) for row in csv.DictReader(file) if row.get(column)}


def test_run_keeps_the_contract(command: Command, own_data: Path, tmp_path: Path) -> None:
    outcome = trained(command, own_data, tmp_path / "run")

    run = tmp_path / "run"
    others = {"per_query.parquet", "train.log", "run.json", ".run.lock"}
    assert {path.name for path in run.iterdir()} == CONTRACT | others
    assert outcome.out.splitlines()[-2:] == [str(run / "model"), str(run / "metrics.json")]
    assert "Traceback" not in outcome.err
    metrics = metrics_of(run, drop=())
    assert metrics["schema"] == 1
    assert metrics["benchmark"] == "parallel"
    assert metrics["counts"]["queries"].keys() == {"de", "en"}
    for setting in ("monolingual", "cross_lingual", "multilingual"):
        assert all(0 <= metrics[setting][name] <= 1 for name in ("map", "recall@1", "ndcg@10", "mrr@10"))
    assert set(log_of(run, "train/loss")) == {0, 1, 2, 3}
    assert len(log_of(run, "val/loss")) == 2
    summary = (run / "summary.md").read_text(encoding="utf-8")
    assert f"{metrics['multilingual']['map']:.4f}" in summary


def test_validation_retrieves_on_a_benchmark_as_evaluate_does(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    val = [
        o.replace("benchmark=", "benchmark@val_retrieval=").replace("benchmark.", "val_retrieval.")
        for o in own_data_overrides(own_data)
        if o.startswith("benchmark")
    ]
    trained(command, own_data, tmp_path / "run", *val, "val_questions=null", "trainer.val_check_interval=2")

    found = metrics_of(tmp_path / "run")
    last = {
        setting: list(log_of(tmp_path / "run", f"val_retrieval/map_{setting}").values())[-1]
        for setting in ("monolingual", "cross_lingual", "multilingual")
    }
    assert last == pytest.approx({setting: found[setting]["map"] for setting in last}, abs=1e-6)
    outcome = command("train", *own_data_overrides(own_data), "trainer.monitor=val_retrieval/map_monolingual")
    assert outcome.status == 2
    assert "benchmark@val_retrieval=" in outcome.err


def test_model_is_the_same_in_sentence_transformers_and_in_evaluate(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (seconds)

    from hybrid_retrieval.evaluation.encode import encode_texts  # noqa: PLC0415
    from hybrid_retrieval.models.encoder import TextEncoder  # noqa: PLC0415

    run, again = tmp_path / "run", tmp_path / "again"
    trained(command, own_data, run)
    texts = ["en: Where is number 3?", "de: Number 5 is on shelf 5, in room 25 of the building.", "ø 漢字"]
    encoder = TextEncoder.load(str(run / "model"))
    model = SentenceTransformer(str(run / "model"), device="cpu")
    for kind, theirs in (("query", model.encode_query(texts)), ("passage", model.encode_document(texts))):
        ours = torch.as_tensor(encode_texts(encoder, texts, kind))  # type: ignore[arg-type]
        torch.testing.assert_close(ours.float(), torch.as_tensor(theirs), atol=1e-5, rtol=0)

    benchmark = [o for o in own_data_overrides(own_data) if o.startswith("benchmark")]
    outcome = command(
        "evaluate", f"model={run / 'model'}", *benchmark, "device=cpu", f"hydra.run.dir={again}"
    )

    assert outcome.status == 0
    assert outcome.out.splitlines()[-1] == str(again / "metrics.json")
    evaluated = metrics_of(again, drop=())
    trained_metrics = metrics_of(run, drop=())
    assert evaluated["run"] == trained_metrics["run"]
    for key in ("counts", "monolingual", "cross_lingual", "multilingual", "language_bias", "per_pair"):
        assert evaluated[key] == trained_metrics[key]


def test_seed_decides_the_run(command: Command, own_data: Path, tmp_path: Path) -> None:
    for name, seed in (("one", 3), ("two", 3), ("other", 4)):
        trained(command, own_data, tmp_path / name, f"seed={seed}")

    assert same_weights(tmp_path / "one", tmp_path / "two")
    assert metrics_of(tmp_path / "one") == metrics_of(tmp_path / "two")
    assert log_of(tmp_path / "one", "train/loss") == log_of(tmp_path / "two", "train/loss")
    assert not same_weights(tmp_path / "one", tmp_path / "other")


def test_interrupted_run_goes_on_as_if_nothing_had_happened(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """48 training rows: with 16 a batch an epoch is 3 steps long, and the interruption falls on its end."""
    overrides = ["trainer.max_steps=7", "trainer.checkpoint_every_n_steps=3", "global_batch_size=16"]
    overrides += ["trainer.val_check_interval=2", "backbone.dropout=0.1", "loss.learn_temperature=true"]
    trained(command, own_data, tmp_path / "whole", *overrides)
    run = tmp_path / "broken"
    with monkeypatch.context() as patched:
        InterruptAfter(5).install(patched)
        outcome = command("train", *own_data_overrides(own_data), f"hydra.run.dir={run}", *overrides)
    assert outcome.status == 1
    assert (run / "checkpoints" / "last.ckpt").is_file()
    assert not (run / "model").exists()

    trained(command, own_data, run, *overrides, "resume=true")

    assert log_of(run, "train/loss") == log_of(tmp_path / "whole", "train/loss")
    assert log_of(run, "lr-AdamW/pg1") == log_of(tmp_path / "whole", "lr-AdamW/pg1")
    assert same_weights(run, tmp_path / "whole")
    assert metrics_of(run) == metrics_of(tmp_path / "whole")


def test_early_stopping_exports_the_best_weights(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The learning rate is so high that validation gets worse after its first time."""
    seen: list[dict[str, torch.Tensor]] = []

    class Recorder(Callback):
        def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
            weights = weights_to_save(pl_module.encoder.transformer)
            seen.append({k: v.clone() for k, v in weights.items()})

    InterruptAfter(None, Recorder()).install(monkeypatch)
    run = tmp_path / "run"
    trained(
        command,
        own_data,
        run,
        *("trainer.monitor=val/loss", "trainer.patience=1", "trainer.max_steps=40", "optim.lr=0.05"),
        *("trainer.val_check_interval=1", "optim.warmup=0", "optim.decay=constant"),
    )

    losses = list(log_of(run, "val/loss").values())
    assert len(losses) < 40
    best = min(range(len(losses)), key=losses.__getitem__)
    assert best == len(losses) - 2
    weights = weights_of(run)
    assert all(torch.equal(weights[name], value) for name, value in seen[best].items() if name in weights)
    assert not all(torch.equal(weights[name], value) for name, value in seen[-1].items() if name in weights)
    assert metrics_of(run, drop=())["run"]["steps"] == len(losses)


def test_multirun_then_compare(command: Command, own_data: Path, tmp_path: Path) -> None:
    sweep = tmp_path / "sweep"
    overrides = (*own_data_overrides(own_data), "trainer.max_steps=2", "trainer.val_check_interval=null")
    outcome = command("train", "-m", *overrides, "sampler=x_x_mono,hybrid", f"hydra.sweep.dir={sweep}")
    assert outcome.status == 0, outcome
    labels = {path.name.rpartition("-")[0] for path in sweep.iterdir() if path.is_dir()}
    assert labels == {"x_x_mono", "hybrid"}

    compared = command("compare", str(sweep))

    assert compared.status == 0, compared
    assert {"comparison.md", "comparison.csv", "report.html"} <= {path.name for path in sweep.iterdir()}
    with (sweep / "comparison.csv").open(newline="", encoding="utf-8") as file:
        strategies = {row["strategy"] for row in csv.DictReader(file)}
    assert {"x_x_mono", "hybrid"} <= strategies
    page = (sweep / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"""(src|href)=["']?https?:""", page)


@pytest.mark.parametrize(
    "overrides",
    [
        ["loss.reverse=1", "loss.within_view=true"],
        ["loss.margin=0.05"],
        ["loss=matryoshka", "loss.dimensions=[32,16]"],
        ["loss.terms.variance=0.1", "loss.terms.language_centring=0.1"],
    ],
    ids=["symmetric", "margin", "matryoshka", "terms"],
)
def test_every_objective_trains(
    command: Command, own_data: Path, tmp_path: Path, overrides: list[str]
) -> None:
    trained(command, own_data, tmp_path, *overrides, "evaluate=false", "trainer.max_steps=2")

    assert len(log_of(tmp_path, "train/loss")) == 2
    for term in (o.partition("=")[0].removeprefix("loss.terms.") for o in overrides if "terms" in o):
        assert len(log_of(tmp_path, f"train/{term}")) == 2


@pytest.mark.parametrize("sampler", ["en_en", "x_x", "x_y"])
def test_every_strategy_trains(command: Command, own_data: Path, tmp_path: Path, sampler: str) -> None:
    trained(command, own_data, tmp_path, f"sampler={sampler}", "evaluate=false", "trainer.max_steps=2")

    kind = "cross_lingual" if sampler == "x_y" else "monolingual"
    assert len(log_of(tmp_path, f"train/loss_{kind}")) == 2
    assert not (tmp_path / "metrics.json").exists()


def test_run_without_checkpoints(command: Command, own_data: Path, tmp_path: Path) -> None:
    trained(command, own_data, tmp_path, "save_checkpoints=false", "trainer.max_steps=2")

    assert not any((tmp_path / "checkpoints").iterdir())


@pytest.mark.slow
def test_two_processes_end_where_one_does(own_data: Path, tmp_path: Path, command_cache: Path) -> None:
    environment = {**os.environ, "HYBRID_RETRIEVAL_CACHE": str(command_cache), "OMP_NUM_THREADS": "1"}
    for name, overrides in (("one", []), ("two", ["trainer=cpu_ddp"])):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "hybrid_retrieval", "train", *own_data_overrides(own_data)),
                *(*overrides, "trainer.accelerator=cpu", f"hydra.run.dir={tmp_path / name}"),
            ],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.splitlines()[-2:] == [
            str(tmp_path / name / "model"),
            str(tmp_path / name / "metrics.json"),
        ]

    one, two = weights_of(tmp_path / "one"), weights_of(tmp_path / "two")
    for name, value in one.items():
        torch.testing.assert_close(two[name], value, atol=1e-5, rtol=0)
    for column in ("train/loss", "val/loss", "val/map_multilingual", "train/monolingual_batches"):
        assert log_of(tmp_path / "two", column) == pytest.approx(log_of(tmp_path / "one", column), abs=1e-4)
