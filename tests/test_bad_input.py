"""Every mistake of a user's gives status 2, one clear message, and nothing half-written."""

from collections.abc import Callable
from pathlib import Path

import pytest

from hybrid_retrieval.models.tiny import prepare_tiny
from tests.conftest import Command
from tests.own_data import own_data_overrides, write_own_data
from tests.refusal import refused

ALPHA_RANGE = "must lie in [0, 1]"
# What the cache may hold before a row was read: locks, and hashes of source files that have rested.
MEMORY = {"locks", "file-hashes"}


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["trian"], ["no verb 'trian'", "--help"]),
        (["train", "sampler=foo"], ["no sampler=foo", "x_x_mono", "train --help"]),
        (["train", "-m", "sampler=x_y,foo"], ["no sampler=foo"]),
        (["evaluate", "benchmark=foo"], ["no benchmark=foo", "xquad_r", "evaluate --help"]),
        (
            ["train", "globl_batch_size=8"],
            ["'globl_batch_size'", "did you mean 'global_batch_size'?", "--help"],
        ),
        (["train", "trainer.max_step=8"], ["did you mean 'trainer.max_steps'?"]),
        (["train", "smapler=x_y"], ["did you mean 'sampler'?"]),
        (["compare", "metrc=map"], ["did you mean 'metric'?", "compare --help"]),
        (["train", "trainer.max_steps"], ["'trainer.max_steps' cannot be read", "name=value"]),
        (["train", "data.languages=[de"], ["'data.languages=[de' cannot be read"]),
        (["evaluate", "model=a=b"], ["'model=a=b' cannot be read", "quote"]),
        (["train", "--multi"], ["no option --multi", "--help"]),
        (["train", "seed=${nothing}"], ["'nothing'", "--help"]),
        (["compare"], ["no run folder given", "hybrid-retrieval compare <"]),
        (["compare", "no such folder"], ["no such folder"]),
    ],
)
def test_command_line_that_cannot_be_understood(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], says: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)

    refused(command, *arguments, says=says)

    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "multirun.yaml"]


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["sampler.alpha=1.5"], [ALPHA_RANGE, "1.5"]),
        (["sampler.alpha=-0.1"], ALPHA_RANGE),
        (["sampler.alpha=half"], ALPHA_RANGE),
        (["sampler.alpha={start: 1.0, end: 2.0, steps: 9}"], [ALPHA_RANGE, "2.0"]),
        (["sampler.alpha={start: 1.0}"], "start, end and steps"),
        (["data.languages=[en,xx]"], ["'xx'", "data.languages", "de, en"]),
        (["sampler=en_en", "sampler.language=fr"], ["'fr'", "de, en"]),
        (["sampler=x_y", "data.languages=[en]"], ["sampler=x_y", "another language", "x_x_mono"]),
        (["data.languages=[en]"], ["sampler=hybrid", "x_x_mono"]),
        (["global_batch_size=1000"], ["1000", "larger than data set", "Use global_batch_size="]),
        (["global_batch_size=1"], "global_batch_size=1"),
        (["seed=first"], "seed=first"),
        (["seed=-1"], "seed=-1"),
        (["trainer.max_steps=many"], "trainer.max_steps=many"),
        (["trainer.log_every_n_steps=0"], "trainer.log_every_n_steps=0"),
        (["optim.lr=abc"], "optim.lr=abc"),
        (["optim.decay=cosine"], ["optim.decay=cosine", "linear"]),
        (["loss.temperature=0"], "loss.temperature"),
        (["loss.temperature=cold"], "loss.temperature"),
        (["evaluate=maybe"], "true or false"),
        (["evaluate_precision=half"], ["evaluate_precision=half", "float32, bfloat16"]),
        (["trainer.monitor=val/accuracy"], ["val/accuracy", "val/loss"]),
        (["trainer.patience=2"], "trainer.monitor"),
        (["trainer.monitor=val/loss", "data.validation_limit=0"], "needs validation"),
        (["trainer.monitor=val/loss", "trainer.val_check_interval=100"], "trainer.val_check_interval"),
        (["trainer.precision=17"], "trainer.precision=17"),
        (["trainer.strategy=foo"], "trainer:"),
        (["trainer.strategy=ddp_fork"], "use trainer.strategy=ddp"),
        (["trainer.devices=0"], "trainer:"),
        (["trainer=cpu_ddp", "global_batch_size=9"], "cannot be divided among 2 devices"),
        (["logger=wandb", "logger.wandb.mode=sometimes"], "offline, online"),
        (["data.path=null"], ["data.path", "LANG.jsonl"]),
        (["data.path=/nowhere"], ["data.path=/nowhere", "does not exist"]),
        (["data.validation_fraction=0.1"], "benchmark.validation_fraction"),
        (["benchmark.path=null"], ["benchmark.path", "LANG.jsonl"]),
        (["benchmark.path=/nowhere"], ["benchmark.path=/nowhere", "does not exist"]),
        (["benchmark.languages=[xx]"], ["'xx'", "de, en"]),
        (["backbone.source=/nowhere/model"], "no folder '/nowhere/model'"),
    ],
)
def test_mistake_in_a_training_leaves_no_run_folder(
    command: Command, tmp_path: Path, own_data: Path, overrides: list[str], says: str | list[str]
) -> None:
    run_folder = tmp_path / "run"

    refused(
        command, "train", *own_data_overrides(own_data), *overrides, f"hydra.run.dir={run_folder}", says=says
    )

    assert not run_folder.exists()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["benchmark=xquad_r"], ["benchmark.path", "hybrid-retrieval prepare benchmark=xquad_r"]),
        (["benchmark=xquad_r", "benchmark.path=/nowhere"], ["/nowhere", "benchmark.path"]),
        (
            ["benchmark=xquad_r", "benchmark.validation_fraction=0"],
            ["no setting 'benchmark.validation_fraction'"],
        ),
        (["benchmark=parallel"], ["benchmark.path", "LANG.jsonl"]),
    ],
)
def test_wrong_benchmark_shows_before_the_training(
    command: Command, tmp_path: Path, overrides: list[str], says: list[str]
) -> None:
    refused(command, "train", "debug=fast", *overrides, f"hydra.run.dir={tmp_path / 'run'}", says=says)

    assert not (tmp_path / "run").exists()


def _cut_in_half(file: Path) -> str:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][: len(lines[2]) // 2] + b"\n"
    file.write_bytes(b"".join(lines))
    return f"{file}:3: the JSON object is cut off"


def _latin_1(file: Path) -> str:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[4] = '{"id": "4", "question": "Wo?", "passage": "über"}\n'.encode("latin-1")
    file.write_bytes(b"".join(lines))
    return f"{file}:5: not UTF-8"


def _no_question(file: Path) -> str:
    lines = file.read_bytes().splitlines(keepends=True)
    lines[1] = b'{"id": "1", "passage": "text"}\n'
    file.write_bytes(b"".join(lines))
    return f"{file}:2"


@pytest.mark.parametrize("damage", [_cut_in_half, _latin_1, _no_question])
@pytest.mark.parametrize("verb", ["prepare", "train"])
def test_malformed_row_is_named_and_nothing_is_prepared(
    command: Command, tmp_path: Path, damage: Callable[[Path], str], verb: str
) -> None:
    data = write_own_data(tmp_path / "data")
    says = damage(data / "de.jsonl")
    run_folder, cache = tmp_path / "run", tmp_path / "cache"
    arguments = (
        own_data_overrides(data) if verb == "train" else ["data=jsonl", f"data.path={data}", "backbone=tiny"]
    )

    refused(command, verb, *arguments, f"hydra.run.dir={run_folder}", f"paths.cache={cache}", says=says)

    assert not run_folder.exists() or not any(run_folder.iterdir())
    assert not [path for path in cache.rglob("*") if path.is_file() and path.parent.name not in MEMORY]


def _truncated(folder: Path) -> str:
    file = folder / "model.safetensors"
    file.write_bytes(file.read_bytes()[:1000])
    return f"the weights in {folder} cannot be loaded"


def _removed(folder: Path) -> str:
    (folder / "model.safetensors").unlink()
    return f"{folder / 'model.safetensors'} is missing"


def _garbage(folder: Path) -> str:
    file = folder / "model.safetensors"
    file.write_bytes(b"no weights" * 1000)
    return f"the weights in {folder} cannot be loaded"


def _half_a_config(folder: Path) -> str:
    file = folder / "config.json"
    file.write_bytes(file.read_bytes()[:50])
    return str(folder)


@pytest.mark.parametrize("damage", [_truncated, _removed, _garbage, _half_a_config])
@pytest.mark.parametrize("verb", ["evaluate", "train"])
def test_damaged_model_folder(
    command: Command, tmp_path: Path, own_data: Path, damage: Callable[[Path], str], verb: str
) -> None:
    model = prepare_tiny(tmp_path)
    says = damage(model)
    overrides = own_data_overrides(own_data)
    if verb == "evaluate":
        overrides = [f"model={model}", *(o for o in overrides if o.startswith("benchmark"))]
    else:
        overrides.append(f"backbone.source={model}")

    refused(command, verb, *overrides, f"hydra.run.dir={tmp_path / 'run'}", says=says)

    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        ([], ["model=<folder, hub id or backbone name>"]),
        (["model=tinny"], ["'tinny'", "did you mean tiny?"]),
        (["model=/nowhere/model"], ["/nowhere/model", "does not exist"]),
        (["model=tiny", "benchmark.path=/nowhere"], ["benchmark.path=/nowhere", "does not exist"]),
        (["model=tiny", "device=abacus"], ["device=abacus"]),
        (["model=tiny", "token_budget=0"], ["token_budget=0"]),
        (["model=tiny", "precision=half"], ["precision=half", "float32, bfloat16"]),
    ],
)
def test_mistake_in_an_evaluation(
    command: Command, tmp_path: Path, own_data: Path, overrides: list[str], says: list[str]
) -> None:
    benchmark = [o for o in own_data_overrides(own_data) if o.startswith("benchmark")]

    refused(command, "evaluate", *benchmark, *overrides, f"hydra.run.dir={tmp_path / 'run'}", says=says)

    assert not (tmp_path / "run").exists()


def test_run_folder_that_is_a_file(command: Command, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    refused(
        command,
        "evaluate",
        f"hydra.run.dir={tmp_path / 'file'}",
        says=[str(tmp_path / "file"), "hydra.run.dir"],
    )


def test_a_folder_with_other_files_is_kept(command: Command, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine", encoding="utf-8")

    refused(command, "train", "debug=fast", "sampler.alpha=7", f"hydra.run.dir={tmp_path}", says=ALPHA_RANGE)

    assert (tmp_path / "notes.txt").read_text(encoding="utf-8") == "mine"
