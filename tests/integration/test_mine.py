"""`hybrid-retrieval mine` as a user gives it, and training on what it wrote."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_retrieval.data.readers.jsonl import JsonlReader
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer
from tests.conftest import Command
from tests.data.memory_reader import opened
from tests.own_data import LANGUAGES, ROWS, own_data_overrides, write_own_data
from tests.refusal import refused

# The random backbone gives nearly equal embeddings: no margin would leave anything.
ANY = "mine.relative_margin=null"


def arguments(data: Path, folder: Path, *overrides: str) -> list[str]:
    return [
        *("mine", "model=tiny", "data=jsonl", f"data.path={data}", "data.validation_fraction=0.2"),
        *("device=cpu", f"hydra.run.dir={folder}", *overrides),
    ]


def records(file: Path) -> dict[str, dict[str, Any]]:
    lines = map(json.loads, file.read_text(encoding="utf-8").splitlines())
    return {record["id"]: record for record in lines}


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix == ".jsonl"}


def test_what_is_written_is_the_data_with_negatives_and_trains(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    outcome = command(*arguments(own_data, tmp_path / "run", "mine.k=3", ANY, "sample=2"))

    assert outcome.status == 0, outcome
    mined = tmp_path / "run" / "numbers"
    assert outcome.out.splitlines()[-1] == str(mined)
    assert "negative 3" in outcome.out
    assert "questions with all 3" in outcome.out
    assert {path.name for path in mined.iterdir()} == {"de.jsonl", "en.jsonl", "mining.json"}
    assert not list((tmp_path / "run").glob("mine-*"))
    splits = {}
    for language in LANGUAGES:
        before, after = records(own_data / f"{language}.jsonl"), records(mined / f"{language}.jsonl")
        assert before.keys() == after.keys()
        for name, record in after.items():
            assert before[name].items() <= record.items()
            assert record["passage_id"] == name
            assert len(record["negatives"]) == (3 if record["split"] == "train" else 0)
            assert all(after[n]["split"] == "train" and n != name for n in record["negatives"])
            splits[name] = record["split"]
    statistics = json.loads((mined / "mining.json").read_text(encoding="utf-8"))
    assert statistics["questions"] == list(splits.values()).count("train") < ROWS
    assert statistics["negatives"]["by_count"] == [0, 0, 0, statistics["questions"]]

    trained = command(
        "train",
        *own_data_overrides(own_data),
        f"data.path={mined}",
        *("data.hard_negatives=2", "trainer.max_steps=2", "evaluate=false"),
        f"hydra.run.dir={tmp_path / 'trained'}",
    )

    assert trained.status == 0, trained
    assert (tmp_path / "trained" / "model").is_dir()


def test_round_trip_keeps_rows_and_splits(command: Command, own_data: Path, tmp_path: Path) -> None:
    """Mining what was mined gives the same files, and the corpus differs in the negatives alone."""
    once, twice = tmp_path / "once", tmp_path / "twice"
    assert command(*arguments(own_data, tmp_path / "a", ANY, f"out={once}")).status == 0
    again = arguments(once, tmp_path / "b", ANY, f"out={twice}", "data.validation_fraction=0.7")
    assert command(*again).status == 0

    assert files_of(once) == files_of(twice)
    reader = JsonlReader(once)
    corpora = opened({code: list(reader.rows(code)) for code in LANGUAGES}, tmp_path / "corpus")
    assert sum(len(corpus) for corpus in corpora.values()) == ROWS
    train = corpora["train"]
    negatives = train.negatives(np.arange(len(train)), 8)
    assert (negatives >= 0).all()
    assert not (negatives == train.positives(np.arange(len(train)))[:, None]).any()


def test_texts_are_cut_at_the_lengths_of_the_data(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    longest: dict[str, int] = {}
    tokenise = TextTokenizer.__call__

    def watched(tokenizer: TextTokenizer, texts: Sequence[str], kind: TextKind) -> list[list[int]]:
        sequences = tokenise(tokenizer, texts, kind)
        longest[kind] = max(longest.get(kind, 0), *map(len, sequences))
        return sequences

    monkeypatch.setattr(TextTokenizer, "__call__", watched)
    lengths = ("data.max_query_length=8", "data.max_passage_length=9")
    outcome = command(*arguments(own_data, tmp_path / "a", ANY, *lengths))

    assert outcome.status == 0, outcome
    assert longest == {"query": 8, "passage": 9}
    short = arguments(own_data, tmp_path / "b", "data.max_passage_length=4")
    refused(command, *short, says=["data.max_passage_length=4", "at least 8"])


def test_second_mining_encodes_nothing(
    command: Command, own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert command(*arguments(own_data, tmp_path / "a", ANY)).status == 0

    def never(*_: object) -> None:
        raise AssertionError("encoded again")

    monkeypatch.setattr(TextEncoder, "forward", never)
    outcome = command(*arguments(own_data, tmp_path / "b", ANY))

    assert outcome.status == 0, outcome
    assert files_of(tmp_path / "a" / "numbers") == files_of(tmp_path / "b" / "numbers")


def test_languages_several_folders_and_existing_negatives(command: Command, tmp_path: Path) -> None:
    """Negatives whose passage is in none of the languages written are left out, so that every id resolves."""
    first = write_own_data(tmp_path / "first", ("de", "en", "fr"), rows=12)
    second = write_own_data(tmp_path / "second", ("de", "en"), rows=12)
    for language in ("de", "en", "fr"):
        file = first / f"{language}.jsonl"
        rows = list(records(file).values())
        rows[0]["negatives"] = ["only-french", "5"]
        if language == "fr":
            rows.append({"id": "only-french", "question": "Seul?", "passage": "Seulement en français."})
        file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")

    outcome = command(
        *arguments(
            first, tmp_path / "run", ANY, "mine.k=2", "mine.keep_existing=true", "data.languages=[de,en]"
        ),
        f"data.path=[{first},{second}]",
        "data.validation_fraction=0",
        f"out={tmp_path / 'out'}",
    )

    assert outcome.status == 0, outcome
    assert outcome.out.splitlines()[-2:] == [str(tmp_path / "out" / name) for name in ("first", "second")]
    for name in ("first", "second"):
        folder = tmp_path / "out" / name
        assert files_of(folder).keys() == {"de.jsonl", "en.jsonl"}
        reader = JsonlReader(folder)
        corpora = opened({code: list(reader.rows(code)) for code in LANGUAGES}, tmp_path / f"c-{name}")
        assert len(corpora["train"]) == 12
    negatives = records(tmp_path / "out" / "first" / "de.jsonl")["0"]["negatives"]
    assert negatives[0] == "5"
    assert len(negatives) == len(set(negatives)) == 3


def test_each_of_several_sets_is_searched_in_the_languages_it_has(command: Command, tmp_path: Path) -> None:
    first = write_own_data(tmp_path / "first", ("de", "en", "fr"), rows=12)
    second = write_own_data(tmp_path / "second", ("de", "fr"), rows=12)
    both = (ANY, "mine.k=2", f"data.path=[{first},{second}]", "data.validation_fraction=0")

    outcome = command(*arguments(first, tmp_path / "run", *both, "data.languages=[de,en]"))

    assert outcome.status == 0, outcome
    assert files_of(tmp_path / "run" / "first").keys() == {"de.jsonl", "en.jsonl"}
    assert files_of(tmp_path / "run" / "second").keys() == {"de.jsonl"}
    for languages, says in (
        ("[de,xx]", ["No data set has data in xx", "de, en, fr"]),
        ("[en]", ["second has no data in any of en", "data.leave_out=second"]),
    ):
        refused(
            command,
            *arguments(first, tmp_path / "refused", *both, f"data.languages={languages}"),
            says=says,
        )
        assert not (tmp_path / "refused").exists()


def test_questions_without_negatives_are_counted_and_the_setting_is_named(
    command: Command, own_data: Path, tmp_path: Path
) -> None:
    assert command(*arguments(own_data, tmp_path / "all", ANY, "mine.k=1")).status == 0
    statistics = json.loads((tmp_path / "all" / "numbers" / "mining.json").read_text(encoding="utf-8"))
    bound = statistics["score"]["negative"]

    outcome = command(
        *arguments(own_data, tmp_path / "few", ANY, "mine.range_max=8", f"mine.max_score={bound}")
    )

    assert outcome.status == 0, outcome
    few = json.loads((tmp_path / "few" / "numbers" / "mining.json").read_text(encoding="utf-8"))
    without = few["negatives"]["by_count"][0]
    assert 0 < without < few["questions"]
    assert f"warning: {without} of {few['questions']} questions" in outcome.err
    assert "raise it" in outcome.err


def test_mistakes_are_refused_and_write_nothing(command: Command, own_data: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    for overrides, says in (
        (["model=null"], "mine needs model="),
        (["model=no/such/folder"], "no/such/folder"),
        (["mine.setting=all"], ["mine.setting=all", "cross_lingual"]),
        (["mine.k=60"], "set mine.range_max to 60"),
        (["mine.kk=1"], "did you mean 'mine.k'?"),
        (["split=dev"], "no split 'dev'"),
        (["split=test"], "split=test"),
        (["seed=-1"], "seed=-1"),
        (["sample=many"], "sample=many"),
        (["data.languages=[en,xx]"], ["xx", "de, en"]),
        (["data.path=nowhere"], "data.path=nowhere does not exist"),
        (["mine.relative_margin=5"], "mine.relative_margin dropped most"),
        ([f"out={own_data}"], "did not write"),
        ([f"out={own_data / 'de.jsonl'}"], "is a file"),
        (["device=nonsense"], "device=nonsense"),
    ):
        before = files_of(own_data)
        refused(command, *arguments(own_data, run, *overrides), says=says)
        assert files_of(own_data) == before
        assert not run.exists()
