"""Data sets of the hub: what is downloaded, and that it is downloaded once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest

from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.data.readers.table_files import download_patterns
from hybrid_retrieval.errors import UserError
from tests.data.tables import COLUMNS, EXPECTED, records, rows_of, write_jsonl


def test_what_is_downloaded() -> None:
    assert download_patterns(("csv",), None) == ["*.csv", "*.csv.gz"]
    files = {"train": ["{language}/**/train-*.parquet"], "dev": "dev.parquet"}
    assert download_patterns(("csv",), files) == ["*/*train-*.parquet", "dev.parquet"]
    assert download_patterns(("csv",), files, ["zh", "en"], {"zh_cn": "zh", "zh_tw": "zh-hant"}) == [
        "zh_cn/*train-*.parquet",
        "en/*train-*.parquet",
        "dev.parquet",
    ]


class Siblings:
    """Enough of what the hub says of a repository."""

    def __init__(self, names: Sequence[str]) -> None:
        self.sha = "c" * 40
        self.siblings = [type("Sibling", (), {"rfilename": name}) for name in names]


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository owner/name of the hub, and an empty cache."""
    monkeypatch.setenv("HYBRID_RETRIEVAL_CACHE", str(tmp_path / "cache"))
    repository = tmp_path / "snapshot"
    for language in EXPECTED:
        write_jsonl(repository / "data" / f"{language}.jsonl", records(language))
    (repository / "README.md").write_text("#")
    asked: list[Any] = []

    def info(_api: object, hub_id: str, *, revision: str | None, timeout: float) -> Siblings:
        asked.append((hub_id, revision))
        names = [path.relative_to(repository).as_posix() for path in repository.rglob("*") if path.is_file()]
        return Siblings(names)

    def download(hub_id: str, *, repo_type: str, revision: str, allow_patterns: list[str], **_: Any) -> str:
        assert (hub_id, repo_type, revision) == ("owner/name", "dataset", "c" * 40)
        assert sorted(allow_patterns) == ["data/de.jsonl", "data/en.jsonl"]
        return str(repository)

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", info)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return repository


def test_a_data_set_of_the_hub_is_downloaded_once(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reader = make_reader("hub", "owner/name", None, columns=COLUMNS, revision="v1")
    assert (reader.name, rows_of(reader)) == ("name", EXPECTED)

    def unreachable(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", unreachable)
    again = make_reader("hub", "owner/name", None, columns=COLUMNS, revision="v1")
    assert (again.fingerprint(), rows_of(again)) == (reader.fingerprint(), EXPECTED)
    (hub / "data" / "en.jsonl").write_text("")
    with pytest.raises(
        UserError, match=r"data set hub cannot be reached .no route.*name their folder in data\.path"
    ):
        make_reader("hub", "owner/name", None, columns=COLUMNS, revision="v1")


@pytest.mark.usefixtures("hub")
def test_a_data_set_without_the_wanted_files() -> None:
    with pytest.raises(
        UserError, match=r"owner/name on the hub has no file x/\*\.parquet; its files are README"
    ):
        make_reader("hub", "owner/name", None, columns=COLUMNS, files="x/*.parquet")
