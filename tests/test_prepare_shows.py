"""What `hybrid-retrieval prepare` shows of a data set."""

import json
from pathlib import Path

import pytest

from hybrid_retrieval.cli import run
from tests.conftest import Command


def _arguments(own_data: Path) -> list[str]:
    return ["data=jsonl", f"data.path={own_data}", "backbone=tiny"]


def test_statistics_are_shown_and_kept_as_json(command: Command, own_data: Path, tmp_path: Path) -> None:
    arguments = [*_arguments(own_data), f"paths.cache={tmp_path}", "data.licence=ours"]
    outcome = command("prepare", *arguments)

    assert (outcome.status, outcome.out) == (0, command("prepare", *arguments).out)
    lines = outcome.out.splitlines()
    assert f"licence: ours; from {own_data}" in lines
    file = Path(lines[-1])
    assert file.parent == tmp_path / "statistics"
    content = json.loads(file.read_bytes())
    assert content["total"]["queries"]["texts"] == 120
    assert json.loads((Path(lines[1]) / "corpus.json").read_bytes())["source"]["licence"] == "ours"


def test_statistics_can_be_left_out(command: Command, own_data: Path, tmp_path: Path) -> None:
    outcome = command("prepare", *_arguments(own_data), f"paths.cache={tmp_path}", "statistics=false")
    assert (outcome.status, len(outcome.out.splitlines())) == (0, 4)
    assert not (tmp_path / "statistics").exists()


@pytest.mark.parametrize(("option", "rows"), [("--sample", 3), ("--sample=5", 5), ("sample=2", 2)])
def test_sample_shows_rows_side_by_side(command: Command, own_data: Path, option: str, rows: int) -> None:
    outcome = command("prepare", option, *_arguments(own_data), "statistics=false", "data.languages=[de]")
    assert outcome.status == 0
    lines = outcome.out.splitlines()[4:]
    assert sum(line.startswith("numbers, ") for line in lines) == rows
    assert sum(line.startswith("de  de: Where is number") for line in lines) == rows
    assert not any(line.startswith("en") for line in lines)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sample=0"], "error: sample must be a whole number of 1 or more, not 0."),
        (["statistics_sample=many"], "error: statistics_sample must be a whole number of 1 or more"),
        (["statistics=5"], "error: statistics must be true or false, not 5."),
        (["--samples"], "error: there is no option --samples"),
    ],
)
def test_mistakes_are_named_before_anything_is_prepared(
    command: Command, own_data: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    outcome = command("prepare", *_arguments(own_data), f"paths.cache={tmp_path}", *arguments)
    assert outcome.status == 2
    assert outcome.err.startswith(message)
    assert not (tmp_path / "corpora").exists()


def test_other_verbs_have_no_such_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", "--sample"]) == 2
    assert "there is no option --sample" in capsys.readouterr().err
