"""What a run logs: to Weights & Biases, read back from its file, and to TensorBoard."""

import json
import logging
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import OmegaConf

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.training import run as training_run
from hybrid_retrieval.training.loggers import logged_configuration, loggers_of
from hybrid_retrieval.training.wandb_logger import WandbRun, run_id
from tests.conftest import Command
from tests.own_data import own_data_overrides
from tests.wandb_program import inspected

SECRETS = {"WANDB_API_KEY": "0123456789abcdef" * 2 + "01234567", "HF_TOKEN": "hf_abcdefghijklmnopqrstuvwxyz"}
EVALUATED = ("map", "recall@1", "recall@10", "ndcg@10", "mrr@10")


def inspect(run: Path) -> list[dict[str, Any]]:
    """The records of one run of W&B."""
    return [json.loads(line) for line in inspected(run).splitlines()]


def of_type(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in records if record["type"] == kind]


def summary_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(inspected(run, "--summary"))["summary"]
    return found


def offline_runs(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*"))


@pytest.fixture
def secrets(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))


def test_a_sweep_is_read_back_from_the_files_of_wandb(
    command: Command, own_data: Path, tmp_path: Path, secrets: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_run, "energy_of_run", lambda *_: {"energy_joules": 12.5})  # as on a GPU
    sweep = tmp_path / "my_sweep"
    outcome = command(
        "train", "-m", *own_data_overrides(own_data), "logger=wandb", "logger.wandb.tags=[mine]",
        "+note=${oc.env:HF_TOKEN}", f"hydra.sweep.dir={sweep}", "seed=1",
    )  # fmt: skip
    assert outcome.status == 0, outcome

    (folder,) = (path.parent for path in sweep.glob("*/metrics.json"))
    (run,) = offline_runs(folder)
    records = inspect(run)
    told = of_type(records, "run")[0]
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    hash_ = json.loads((folder / "run.json").read_text(encoding="utf-8"))["hash"]
    assert told["run_id"] == run_id(folder, hash_)
    assert told["run_group"] == "my_sweep"
    assert told["job_type"] == "train"
    assert told["display_name"] == json.loads((folder / "run.json").read_text())["label"]
    assert set(told["tags"]) == {"hybrid", "tiny", "mine", *metrics["run"]["data"]}

    config = told["config"]["update"]
    assert config["seed"] == 1
    assert config["optim"]["lr"] > 0
    assert config["note"] == "(hidden)"
    assert list(config["data_fingerprints"].values()) == metrics["run"]["data_fingerprints"]
    assert config["configuration_hash"] == hash_

    logged = {name for each in of_type(records, "history") for name in each["item"]}
    assert {
        "train/loss", "train/gradient_norm", "train/pairs_per_second", "train/monolingual_batches",
        "train/pairs/de-en", "trainer/global_step", "val/loss",
    } <= logged  # fmt: skip
    assert logged & {"train/loss_monolingual", "train/loss_cross_lingual"}

    final = summary_of(run)
    for setting in ("monolingual", "cross_lingual", "multilingual"):
        for name in EVALUATED:
            assert final[f"test/{setting}/{name}"] == pytest.approx(metrics[setting][name])
            by_language = metrics["per_language"]["de"][setting][name]
            assert final[f"test/per_language/de/{setting}/{name}"] == pytest.approx(by_language)
    for name, value in metrics["language_bias"].items():
        if value is not None:
            assert final[f"test/language_bias/{name}"] == pytest.approx(value)
    assert metrics["run"]["energy_joules"] == 12.5
    for name in ("train_seconds", "energy_joules"):
        assert final[f"run/{name}"] == pytest.approx(metrics["run"][name])
    assert "run/" not in (folder / "train_metrics.csv").read_text(encoding="utf-8").splitlines()[0]
    for name in ("test/language_pairs_map", "test/confusion_map"):
        assert final[name]["_type"] == "image-file"
        assert (run / "files" / final[name]["path"]).read_bytes().startswith(b"\x89PNG")

    table = json.loads((run / "files" / final["test/language_pairs"]["path"]).read_text())
    rows = {(row[0], row[1]): dict(zip(table["columns"][2:], row[2:], strict=True)) for row in table["data"]}
    assert rows["de", "en"] == pytest.approx(metrics["per_pair"]["de"]["en"])
    assert rows["de", "de"] == pytest.approx(metrics["per_language"]["de"]["monolingual"])
    assert len(rows) == 4
    table = json.loads((run / "files" / final["test/confusion"]["path"]).read_text())
    assert {(row[0], row[1]): row[2] for row in table["data"]} == pytest.approx(
        {(x, y): v for x, found in metrics["confusion"]["top@10"].items() for y, v in found.items()}
    )
    assert f"wandb sync {folder}/wandb/offline-run-*-{told['run_id']}" in (folder / "summary.md").read_text()

    files = [file for file in sweep.rglob("*") if file.is_file() and not file.is_symlink()]
    assert len(files) > 20
    for file in files:
        content = file.read_bytes()
        assert not [name for name, value in SECRETS.items() if value.encode() in content], file


def test_a_run_without_network_goes_on_offline_and_again_as_the_same_run(
    command: Command,
    own_data: Path,
    tmp_path: Path,
    secrets: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")  # nothing listens there
    folder = tmp_path / "a run"
    line = [
        *own_data_overrides(own_data), "logger=wandb", "logger.wandb.mode=online",
        "logger.wandb.init_timeout=1", "logger.wandb.group=mine", "evaluate=false", "resume=auto",
        "trainer.monitor=null", f"hydra.run.dir={folder}",
    ]  # fmt: skip
    start = time.monotonic()
    first = command("train", *line)
    assert first.status == 0, first
    assert time.monotonic() - start < 30
    assert (first.out + first.err).count("Weights & Biases was not reached") == 1
    assert "wandb sync '" in (folder / "summary.md").read_text()

    assert command("train", *line).status == 0
    runs = offline_runs(folder)
    ids = [of_type(inspect(run), "run")[0] for run in runs]
    assert len(runs) == 2
    assert ids[0]["run_id"] == ids[1]["run_id"]
    assert [each["run_group"] for each in ids] == ["mine", "mine"]


def test_the_id_is_of_the_folder_and_the_configuration(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert run_id(tmp_path / "a", "1") == run_id(Path("a"), "1")
    assert len({run_id(tmp_path / "a", "1"), run_id(tmp_path / "b", "1"), run_id(tmp_path / "a", "2")}) == 3


def test_secrets_are_hidden_wherever_they_are() -> None:
    cfg = OmegaConf.create(
        {
            "data": {"storage_options": {"key": "abc", "secret": "def", "anon": True}, "keys": "kept"},
            "list": ["s3://user:pw@host/path", "xx-long-secret-xx"],
            "tokens": 12,
            "token_budget": "kept",
            "loss": {"temperature": 0.05},
        }
    )
    assert logged_configuration(cfg, {"SOME_TOKEN": "long-secret", "OTHER": "kept", "A_KEY": "s3"}) == {
        "data": {"storage_options": {"key": "(hidden)", "secret": "(hidden)", "anon": True}, "keys": "kept"},
        "list": ["s3://(hidden)@host/path", "xx-(hidden)-xx"],
        "tokens": 12,
        "token_budget": "kept",
        "loss": {"temperature": 0.05},
    }


def test_a_run_that_broke_off_is_failed_and_the_next_one_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))
    caplog.set_level(logging.WARNING)

    def begun(name: str) -> WandbRun:
        run = WandbRun(
            tmp_path / name, "offline", init_timeout=1, finish_timeout=1, id=name, project="p", name=name
        )
        (tmp_path / name).mkdir()
        run.log_metrics({"loss": 1.0}, step=0)
        return run

    begun("one").finalize("failed")
    begun("two")  # left as it is
    begun("three").finish()

    codes = {}
    for name in ("one", "two", "three"):
        (run,) = offline_runs(tmp_path / name)
        records = inspect(run)
        assert of_type(records, "run")[0]["run_id"] == name
        codes[name] = [each.get("exit_code", 0) for each in of_type(records, "exit")]
    assert codes == {"one": [1], "two": [1], "three": [0]}


def test_tensorboard_gets_scalars_and_images(command: Command, own_data: Path, tmp_path: Path) -> None:
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    folder = tmp_path / "run"
    outcome = command("train", *own_data_overrides(own_data), "logger=tensorboard", f"hydra.run.dir={folder}")
    assert outcome.status == 0, outcome

    assert not (folder / "wandb").exists()
    found = reader.EventAccumulator(str(folder / "tensorboard"))
    found.Reload()
    metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    assert {"train/loss", "train/gradient_norm", "val/loss"} <= set(found.Tags()["scalars"])
    for setting in ("monolingual", "multilingual"):
        (event,) = found.Scalars(f"test/{setting}/map")
        assert event.value == pytest.approx(metrics[setting]["map"], rel=1e-6)
        assert event.step == metrics["run"]["steps"]
    assert set(found.Tags()["images"]) == {"test/language_pairs_map", "test/confusion_map"}


def configuration(**loggers: Any) -> Any:
    return OmegaConf.create({"resume": False, "logger": {"wandb": None, "tensorboard": None, **loggers}})


def test_disabled_and_unknown_modes_and_a_missing_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert len(loggers_of(configuration(wandb={"mode": "disabled"}), tmp_path, [])) == 1
    with pytest.raises(UserError, match="known: offline, online, disabled"):
        loggers_of(configuration(wandb={"mode": "on"}), tmp_path, [])
    fake = SimpleNamespace(find_spec=lambda name: None)
    monkeypatch.setattr("hybrid_retrieval.training.loggers.importlib", SimpleNamespace(util=fake))
    with pytest.raises(UserError, match="pip install tensorboard"):
        loggers_of(configuration(tensorboard={"folder": "tensorboard"}), tmp_path, [])
    assert not list(tmp_path.iterdir())
