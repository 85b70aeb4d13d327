"""The command line: help, options, exit statuses, and the folders that `compare` takes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hybrid_retrieval import __version__
from hybrid_retrieval.cli import VERBS
from tests.conftest import Command
from tests.reporting.fake_runs import write_study

ALPHA_RANGE = "must lie in [0, 1]"


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_verb(command: Command, arguments: list[str]) -> None:
    outcome = command(*arguments)

    assert (outcome.status, outcome.err) == (0, "")
    assert all(f"\n  {verb} " in outcome.out for verb in VERBS)


def test_version(command: Command) -> None:
    assert command("--version").out == f"hybrid-retrieval {__version__}\n"


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_is_ours(command: Command, verb: str) -> None:
    outcome = command(verb, "--help")

    assert (outcome.status, outcome.err) == (0, "")
    assert f"hybrid-retrieval {verb}" in outcome.out


def test_help_of_train_names_settings_and_choices(command: Command) -> None:
    outcome = command("train", "--help")

    for expected in ("sampler.alpha", "global_batch_size", "hydra.run.dir", "sampler: en_en, hybrid"):
        assert expected in outcome.out


def test_multirun_flag_may_stand_anywhere(command: Command, tmp_path: Path) -> None:
    outcome = command(
        "train", "debug=fast", "-m", "sampler.alpha=2,3", f"hydra.sweep.dir={tmp_path / 'sweep'}"
    )

    assert outcome.status == 2
    assert ALPHA_RANGE in outcome.err
    assert "Traceback" not in outcome.err
    assert not list((tmp_path / "sweep").glob("*/"))


def test_unforeseen_error_has_status_1_and_a_traceback(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(cfg: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("hybrid_retrieval.commands.compare.run", broken)
    outcome = command("compare", "x")

    assert outcome.status == 1
    assert outcome.err.startswith("Traceback")
    assert outcome.err.endswith("ZeroDivisionError: a bug\n")


@pytest.mark.parametrize("name", ["two words, it's", 'lr=0.1,x=[2] "b"', "${seed} back\\slash", "-dash"])
def test_compare_takes_folders_of_any_name(command: Command, tmp_path: Path, name: str) -> None:
    study = write_study(tmp_path / name, ("untrained", "x_x_mono", "hybrid"), seeds=1, questions=8)

    outcome = command("compare", str(study), f"out={tmp_path / 'out'}")

    assert outcome.status == 0, outcome.err
    assert "hybrid" in (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")


def test_compare_takes_several_folders_relative_to_here(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_study(tmp_path / "a=b", ("x_x_mono",), seeds=1, questions=8)
    write_study(tmp_path / "c d", ("hybrid",), seeds=1, questions=8)
    monkeypatch.chdir(tmp_path)

    outcome = command("compare", "a=b", "c d", "metric=recall@1", "out=out")

    assert outcome.status == 0, outcome.err
    table = (tmp_path / "out" / "comparison.md").read_text(encoding="utf-8")
    assert "x_x_mono" in table
    assert "hybrid" in table


def test_module_is_the_command() -> None:
    run = subprocess.run(
        [sys.executable, "-m", "hybrid_retrieval", "evaluate"], capture_output=True, text=True, check=False
    )

    assert run.returncode == 2
    assert run.stderr.startswith("error: evaluate needs model=")


def test_prepare_says_what_and_where(command: Command, own_data: Path, command_cache: Path) -> None:
    arguments = ("prepare", "data=jsonl", f"data.path={own_data}", "backbone=tiny")
    outcome = command(*arguments)

    assert outcome.status == 0
    lines = outcome.out.splitlines()
    assert lines[0].startswith("numbers: ")
    assert "triples in 2 languages" in lines[0]
    assert json.loads((Path(lines[1]) / "corpus.json").read_text(encoding="utf-8"))["name"] == "numbers"
    assert (Path(lines[3]) / "model.safetensors").is_file()
    assert command(*arguments).out == outcome.out
