"""`hybrid-retrieval prepare benchmark=...`."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from hybrid_retrieval.evaluation.sources import catalogue
from hybrid_retrieval.evaluation.sources.catalogue import SOURCES_FILE
from tests.conftest import Command
from tests.evaluation.file_server import FileServer
from tests.evaluation.small_source import CONTENTS, a_source, files_of, served


@pytest.fixture
def server() -> Iterator[FileServer]:
    with served() as state:
        yield state


@pytest.fixture
def small_catalogue(server: FileServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The packaged catalogue, with xquad_r and tatoeba from the server of the test."""
    content = yaml.safe_load(SOURCES_FILE.read_text(encoding="utf-8"))
    for name in ("xquad_r", "tatoeba"):
        files = {file.name: [file.size, file.sha256] for file in a_source(server).files}
        content[name] |= {"base": server.url, "files": files}
    path = tmp_path / "sources.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    monkeypatch.setattr(catalogue, "SOURCES_FILE", path)
    return path


def test_command_fetches_a_benchmark_and_nothing_else(
    command: Command, small_catalogue: Path, tmp_path: Path
) -> None:
    outcome = command("prepare", "benchmark=xquad_r", f"paths.cache={tmp_path / 'cache'}")

    folder = tmp_path / "cache" / "benchmarks" / "xquad_r"
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines()[1].startswith("licence: CC BY-SA 4.0 (https://")
    assert outcome.out.splitlines()[-2:] == ["xquad_r: 3 files, 0.6 MB", str(folder)]
    assert files_of(tmp_path / "cache") == CONTENTS
    assert {path.name for path in (tmp_path / "cache").iterdir()} == {"benchmarks"}


def test_command_puts_benchmarks_where_it_is_told(
    command: Command, small_catalogue: Path, tmp_path: Path, command_cache: Path
) -> None:
    outcome = command("prepare", "benchmark=xquad_r", f"paths.benchmarks={tmp_path / 'elsewhere'}")

    assert outcome.status == 0
    assert outcome.out.splitlines()[-1] == str(tmp_path / "elsewhere" / "xquad_r")
    assert files_of(tmp_path / "elsewhere") == CONTENTS
    assert not (command_cache / "benchmarks").exists()


def test_command_takes_a_list(command: Command, small_catalogue: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    outcome = command("prepare", "benchmark=[xquad_r,tatoeba,world_facts]", f"paths.cache={cache}")

    assert (outcome.status, outcome.err) == (0, "")
    assert {path.name for path in (cache / "benchmarks").glob("[!.]*")} == {"xquad_r", "tatoeba"}
    assert outcome.out.splitlines()[-1].startswith("world_facts is read from a data set")


@pytest.mark.parametrize(
    ("overrides", "training"),
    [
        ([], True),
        (["benchmark=xquad_r"], False),
        (["benchmark=[xquad_r]"], False),
        (["benchmark=xquad_r", "backbone=tiny"], True),
        (["data.path=my-faq", "data=jsonl", "benchmark=xquad_r"], True),
    ],
)
def test_command_prepares_data_and_backbone_unless_only_benchmarks_are_named(  # noqa: PLR0917
    command: Command,
    small_catalogue: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    overrides: list[str],
    training: bool,
) -> None:
    calls: list[object] = []
    monkeypatch.setattr("hybrid_retrieval.commands.prepare._prepare_training", calls.append)

    outcome = command("prepare", *overrides, f"paths.cache={tmp_path / 'cache'}")

    assert (outcome.status, outcome.err) == (0, "")
    assert len(calls) == training
    fetched = any("xquad_r" in override for override in overrides)
    assert files_of(tmp_path / "cache") == (CONTENTS if fetched else {})


def test_command_says_what_must_be_got_by_hand(
    command: Command, small_catalogue: Path, tmp_path: Path
) -> None:
    outcome = command("prepare", "benchmark=[mlqa_r,xquad_r]", f"paths.cache={tmp_path / 'cache'}")

    assert outcome.status == 2
    assert outcome.err.startswith("error: benchmark=mlqa_r has no files that prepare could fetch: clone")
    assert outcome.err.count("\n") == 1
    assert files_of(tmp_path / "cache") == CONTENTS


def test_command_refuses_a_wrong_file(
    command: Command, small_catalogue: Path, server: FileServer, tmp_path: Path
) -> None:
    server.files["de.json"] = b"other"

    outcome = command("prepare", "benchmark=xquad_r", f"paths.cache={tmp_path / 'cache'}")

    assert outcome.status == 2
    assert outcome.err.startswith(f"error: {server.url}de.json serves 5 bytes instead of 200,001")
    assert outcome.err.count("\n") == 1
