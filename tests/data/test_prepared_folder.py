"""Runs on prepared corpora, in folders that are only read."""

import json
import logging
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.open import open_data, prepare_data
from hybrid_retrieval.data.parallel import MANIFEST, ParallelCorpus
from hybrid_retrieval.data.token_store import TokensNotKeptError, prepare_tokens
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.text_tokenizer import TextTokenizer
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.training.token_reuse import token_store
from tests.conftest import Command
from tests.data.memory_reader import SMALL, MemoryReader
from tests.data.written import make_read_only, tree, under, watched
from tests.own_data import own_data_overrides, write_own_data


def config(**settings: Any) -> DictConfig:
    common: dict[str, Any] = {
        "reader": "prepared",
        "path": None,
        "options": {},
        "sets": None,
        "languages": None,
        "join": "any",
        "validation_fraction": 0.0,
    }
    return OmegaConf.create({**common, **settings})


def rows_of(corpora: list[ParallelCorpus]) -> list[Any]:
    return [[corpus.rows(language) for language in corpus.languages] for corpus in corpora]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "shared" / "corpora" / "small-0123456789abcdef"
    build_corpus(MemoryReader(SMALL, "small"), folder, needed=())
    return folder


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder = prepare_tiny(tmp_path_factory.mktemp("backbone"))
    return TextEncoder.from_folder(folder, name="tiny").tokenizer


def test_a_folder_is_opened_as_it_is_and_nothing_is_written(corpus: Path, tmp_path: Path) -> None:
    before = tree(corpus.parent)
    with watched() as (changed, read):
        (found,) = open_data(config(path=str(corpus)), str(tmp_path / "cache"), "train")
        texts = rows_of([found])
    assert texts == rows_of([ParallelCorpus.open(corpus, "train")])
    assert under(corpus, read)
    assert changed == []
    assert tree(corpus.parent) == before


def test_several_folders_and_other_readers(corpus: Path, tmp_path: Path) -> None:
    other = tmp_path / "shared" / "corpora" / "other"
    build_corpus(MemoryReader({"fr": SMALL["en"]}, "other"), other)
    paths = [str(corpus), str(other)]
    assert prepare_data(config(path=paths), str(tmp_path / "cache")) == [corpus, other]
    lines = "".join(json.dumps({"id": i, "question": f"q{i}", "passage": f"p{i}"}) + "\n" for i in range(3))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "de.jsonl").write_text(lines, encoding="utf-8")
    sets = [{"reader": "prepared", "path": corpus.name}, {"reader": "jsonl", "path": str(tmp_path / "own")}]
    found = open_data(config(path=str(corpus.parent), sets=sets), str(tmp_path / "cache"), "train")
    assert [(one.name, len(one)) for one in found] == [("small", 4), ("own", 3)]


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"path": None}, r"data=prepared needs data\.path=<the folder"),
        ({"path": "{root}/nowhere"}, r"nowhere does not exist\. Name the folder that"),
        ({"path": "{root}/shared"}, r"it holds no corpus\.json.*These do: .*small-0123456789abcdef\."),
        (
            {"languages": ["de", "en"], "join": "complete"},
            r"was prepared with data\.join=any\. Set",
        ),
        ({"options": {"languages": ["en", "fr"]}}, r"has no data in fr: it is prepared in de, en, th"),
        (
            {"options": {"languages": ["en"]}},
            r"and a prepared folder is used as it is: leave",
        ),
        ({"options": {"title": True}}, r"data=prepared has no option data\.options\.title"),
        ({"validation_fraction": 0.1}, r"validation_fraction=0\.1: a prepared corpus has its splits"),
        ({"clean": {"same_text": True}}, r"data\.clean\.same_text: a prepared corpus is used as it is"),
        (
            {
                "path": "{root}/shared/corpora",
                "sets": [{"reader": "prepared", "path": "small-0123456789abcdef"}],
                "clean": {"exact_duplicates": True},
            },
            r"data\.clean\.exact_duplicates: data\.sets has .*small-0123456789abcdef, and a prepared corpus",
        ),
    ],
)
def test_what_does_not_fit_is_refused(
    corpus: Path, tmp_path: Path, settings: dict[str, Any], match: str
) -> None:
    path = settings.pop("path", str(corpus))
    with pytest.raises(UserError, match=match):
        prepare_data(config(path=path and path.format(root=tmp_path), **settings), str(tmp_path / "cache"))


def test_a_complete_corpus_may_be_asked_for_as_complete(tmp_path: Path) -> None:
    build_corpus(MemoryReader(SMALL, "small"), tmp_path / "c", needed=["de", "en"])
    complete = config(path=str(tmp_path / "c"), languages=["de", "en"], join="complete")
    assert prepare_data(complete, str(tmp_path / "cache")) == [tmp_path / "c"]
    with pytest.raises(UserError, match=r"all of de, th, but .* was prepared for de, en\."):
        prepare_data(config(path=str(tmp_path / "c"), languages=["de", "th"], join="complete"), None)


@pytest.mark.parametrize("damage", ["cut", "removed", "schema"])
def test_a_damaged_corpus_is_refused(corpus: Path, tmp_path: Path, damage: str) -> None:
    text = corpus / "passages" / "en.arrow"
    if damage == "cut":
        text.write_bytes(text.read_bytes()[:-1])
    elif damage == "removed":
        text.unlink()
    else:
        manifest = json.loads((corpus / MANIFEST).read_bytes())
        (corpus / MANIFEST).write_text(json.dumps({**manifest, "schema": 0}), encoding="utf-8")
    match = {"cut": r"en\.arrow: damaged", "removed": r"en\.arrow: missing", "schema": "with schema 0, this"}
    with pytest.raises(UserError, match=match[damage]):
        prepare_data(config(path=str(corpus)), str(tmp_path / "cache"))


@pytest.mark.parametrize("scheme", ["", "file://"])
def test_a_training_run_leaves_the_folder_alone(
    command: Command, own_data: Path, tmp_path: Path, scheme: str
) -> None:
    shared = tmp_path / "shared"
    cfg = config(reader="jsonl", path=str(own_data), validation_fraction=0.2)
    (folder,) = prepare_data(cfg, str(shared))
    overrides = [one for one in own_data_overrides(own_data) if not one.startswith("data")]
    before = tree(shared)
    with watched() as (changed, read):
        outcome = command(
            "train",
            *overrides,
            "data=prepared",
            f"data.path={scheme}{folder}",
            "evaluate=false",
            f"hydra.run.dir={tmp_path / 'run'}",
        )
    assert outcome.status == 0, outcome.err
    assert under(folder, read)
    assert under(shared, changed) == []
    assert tree(shared) == before


def test_a_run_over_a_prepared_cache_writes_nothing_there_and_reads_no_source(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    own_data = write_own_data(tmp_path / "own")
    for file in own_data.iterdir():
        os.utime(file, (1e9, 1e9))  # long ago: a file of this second is read again
    cfg = config(reader="jsonl", path=str(own_data), validation_fraction=0.2)
    cache = tmp_path / "cache"
    first = prepare_data(cfg, str(cache))
    corpora = [ParallelCorpus.open(folder, "train") for folder in first]
    prepare_tokens(corpora, ["de", "en"], tokenizer, cache, progress=False)
    before = tree(cache)
    with watched() as (changed, read):
        assert prepare_data(cfg, str(cache)) == first
        prepare_tokens(corpora, ["de", "en"], tokenizer, cache, progress=False)
    assert under(cache, changed) == []
    assert [path for path in read if path.endswith(".jsonl")] == []
    assert tree(cache) == before


def test_a_second_training_run_writes_nothing_in_the_cache(command: Command, tmp_path: Path) -> None:
    own_data = write_own_data(tmp_path / "own")
    for file in own_data.iterdir():
        os.utime(file, (1e9, 1e9))
    cache = tmp_path / "cache"
    overrides = [*own_data_overrides(own_data), f"paths.cache={cache}", "evaluate=false"]
    assert command("train", *overrides, f"hydra.run.dir={tmp_path / 'first'}").status == 0
    before = tree(cache)
    assert list((cache / "tokens").iterdir())
    with watched() as (changed, _):
        outcome = command("train", *overrides, f"hydra.run.dir={tmp_path / 'second'}")
    assert outcome.status == 0, outcome.err
    assert under(cache, changed) == []
    assert tree(cache) == before


def test_a_cache_that_cannot_be_written_is_one_message(
    own_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    make_read_only(cache, monkeypatch)
    cfg = config(reader="jsonl", path=str(own_data))
    with pytest.raises(UserError, match=r"cache cannot be written \(Read-only file system\), and numbers-"):
        prepare_data(cfg, str(cache))


def test_texts_are_tokenised_at_every_step_where_the_cache_cannot_be_written(
    corpus: Path,
    tokenizer: TextTokenizer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    corpora = [ParallelCorpus.open(corpus, "train")]
    make_read_only(tmp_path / "cache", monkeypatch)
    settings = SimpleNamespace(
        data=SimpleNamespace(tokenize_once="auto"),
        optim=SimpleNamespace(trim_embeddings="auto"),
        paths=SimpleNamespace(cache=str(tmp_path / "cache")),
    )
    with caplog.at_level(logging.WARNING):
        assert token_store(settings, corpora, ["de", "en"], tokenizer) is None  # type: ignore[arg-type]
    (record,) = caplog.records
    assert record.getMessage().startswith("texts are tokenised at every step: ")
    assert "Read-only file system" in record.getMessage()
    settings.data.tokenize_once = True
    with pytest.raises(TokensNotKeptError, match="Read-only file system"):
        token_store(settings, corpora, ["de", "en"], tokenizer)  # type: ignore[arg-type]
