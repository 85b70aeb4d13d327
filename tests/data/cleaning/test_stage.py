"""Cleaning as a stage of a build: it goes on after a kill, and says what it did."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from hybrid_retrieval.data import language_stages
from hybrid_retrieval.data.build import prepare_corpus
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.data.stages import Stages
from tests.data.cleaning.cleaned_corpora import ALL, ROWS, switches
from tests.data.memory_reader import MemoryReader


def _bytes(folder: Path) -> dict[str, bytes]:
    return {str(f.relative_to(folder)): f.read_bytes() for f in sorted(folder.rglob("*")) if f.is_file()}


def test_a_cleaning_can_be_interrupted_after_every_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _bytes(prepare_corpus(MemoryReader(ROWS), tmp_path / "once", cleaning=switches(**ALL)))
    finish, stages = Stages.finish, list[str]()

    def dies(self: Stages, stage: str, paths: Iterable[Path]) -> None:
        finish(self, stage, paths)
        stages.append(stage)
        raise KeyboardInterrupt

    monkeypatch.setattr(Stages, "finish", dies)
    while True:
        try:
            folder = prepare_corpus(MemoryReader(ROWS), tmp_path / "cache", cleaning=switches(**ALL))
            break
        except KeyboardInterrupt:
            assert not list((tmp_path / "cache" / "corpora").glob("[!.]*"))
    assert len(stages) == len(set(stages)) == 2 * len(ROWS) + 1 + 2 * len(ROWS) + 2
    assert _bytes(folder) == expected


def test_processes_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = prepare_corpus(MemoryReader(ROWS), tmp_path / "one", cleaning=switches(exact_duplicates=True))
    monkeypatch.setattr(language_stages, "WORTH_PROCESSES", 0)
    monkeypatch.setattr("hybrid_retrieval.data.cleaning.stage.cores", lambda: 2)
    again = prepare_corpus(MemoryReader(ROWS), tmp_path / "two", cleaning=switches(exact_duplicates=True))
    assert _bytes(folder) == _bytes(again)


def test_each_switch_says_what_it_removed(tmp_path: Path) -> None:
    lines: list[str] = []
    prepare_corpus(MemoryReader(ROWS), tmp_path, cleaning=switches(**ALL), progress=Progress(lines.append))
    said = [line for line in lines if "removed" in line]
    assert said[:2] == ["memory: min_question_chars removed nothing", "memory: same_text removed nothing"]
    assert said[2] == "memory: exact_duplicates removed nothing"
    assert said[3:] == ["memory: near_duplicates removed 15 of 24 rows (5 de, 5 en, 5 zh)"]


def _fingerprint(folder: Path) -> str:
    return str(json.loads((folder / "corpus.json").read_text())["fingerprint"])


def test_settings_are_part_of_the_fingerprint_only_where_they_are_on(tmp_path: Path) -> None:
    make: Callable[..., Path] = lambda **values: prepare_corpus(  # noqa: E731
        MemoryReader(ROWS), tmp_path, cleaning=switches(**values)
    )
    untouched = prepare_corpus(MemoryReader(ROWS), tmp_path)
    assert make(same_text=False, decontaminate=[], near_duplicates=None) == untouched
    others = [
        make(exact_duplicates=True),
        make(near_duplicates=0.9),
        make(near_duplicates=1),
        make(min_question_chars=3),
        make(max_question_chars=30),
    ]
    assert make(near_duplicates=1.0) == others[2]
    assert len({_fingerprint(folder) for folder in [untouched, *others]}) == 6
