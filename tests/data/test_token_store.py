"""What the store looks up are the tokens that the tokenizer gives; and it is complete or not there."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hybrid_retrieval.data import token_store
from hybrid_retrieval.data.collate import Collator
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.world_facts import WorldFactsReader
from hybrid_retrieval.data.step_loader import PlannedBatches, StepLoader
from hybrid_retrieval.data.token_store import TokenizedTexts, TokenStore, prepare_tokens, text_count
from hybrid_retrieval.data.token_table import TokenTable, write_tokens
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.text_tokenizer import TextTokenizer
from hybrid_retrieval.models.tiny import prepare_tiny
from tests.data.memory_reader import SMALL, opened
from tests.losses import dual_encoder_parts as parts

ROOT = Path(__file__).parents[2]
EVERY = 40
LANGUAGES = ("de", "en", "th")


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> TextTokenizer:
    folder = prepare_tiny(tmp_path_factory.mktemp("backbone"))
    return TextEncoder.from_folder(folder, name="tiny").tokenizer


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> ParallelCorpus:
    return opened(SMALL, tmp_path_factory.mktemp("small") / "corpus")["train"]


@pytest.fixture
def store(small: ParallelCorpus, tokenizer: TextTokenizer, tmp_path: Path) -> TokenStore:
    return prepare_tokens([small], LANGUAGES, tokenizer, tmp_path, progress=False)


def lists(sequences: list[Any]) -> list[list[int] | None]:
    return [None if sequence is None else sequence.tolist() for sequence in sequences]


def contents(folder: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob("*")) if path.is_file()}


def test_tokens_of_every_language_are_those_of_the_tokenizer(
    tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    """Fourteen languages and six scripts, cut and uncut; the tokenizer called for one text at a time."""
    reader = WorldFactsReader()
    rows = {language: list(reader.rows(language))[::EVERY] for language in reader.languages()}
    for of_language in rows.values():
        of_language[:] = [type(row)(row.id, row.question, row.passage, row.passage_id) for row in of_language]
    corpus = opened(rows, tmp_path / "corpus", validation_fraction=0.1)["train"]
    tokenizer = tokenizer.shortened(40, 60)
    found = prepare_tokens([corpus], reader.languages(), tokenizer, tmp_path, progress=False)
    cut = whole = 0
    texts = {"query": corpus.query_text, "passage": corpus.passage_text}
    for kind, limit in tokenizer.max_length.items():
        for language in reader.languages():
            ids = np.arange(corpus.counts["queries" if kind == "query" else "passages"])
            for row, sequence in zip(
                ids.tolist(), found(corpus, kind, [language] * len(ids), ids), strict=True
            ):
                assert sequence is not None
                assert [sequence.tolist()] == tokenizer([texts[kind](language, row) or ""], kind)
                cut, whole = cut + (len(sequence) == limit), whole + (len(sequence) < limit)
    assert cut > 100
    assert whole > 100


def test_both_sources_agree_and_know_what_is_missing(
    store: TokenStore, small: ParallelCorpus, tokenizer: TextTokenizer
) -> None:
    """Thai has two of the passages; a mixture of languages in one look-up; -1 stands for no text."""
    passages = np.array([-1, *range(small.counts["passages"])] * len(LANGUAGES))
    codes = [code for code in LANGUAGES for _ in range(small.counts["passages"] + 1)]
    found = lists(store(small, "passage", codes, passages))

    assert found == lists(TokenizedTexts(tokenizer)(small, "passage", codes, passages))
    assert found.count(None) == len(LANGUAGES) + (small.counts["passages"] - 2)
    texts = [
        small.passage_text(code, int(p)) if p >= 0 else None for code, p in zip(codes, passages, strict=True)
    ]
    assert [s for s in found if s] == tokenizer([text for text in texts if text is not None], "passage")
    assert store(small, "query", [], np.array([], dtype=np.int64)) == []
    with pytest.raises(ValueError, match="not tokenised in 'xx'"):
        store(small, "query", ["xx"], np.array([0]))


def test_a_pickled_store_is_small_and_looks_up_the_same(store: TokenStore, small: ParallelCorpus) -> None:
    table = store.table(small, "en", "query")
    copy = pickle.loads(pickle.dumps(table))

    assert lists([copy[row] for row in range(len(copy))]) == lists([table[row] for row in range(len(table))])
    assert len(pickle.dumps(table)) < 1000


def test_a_second_preparation_reads_and_other_settings_have_tables_of_their_own(
    small: ParallelCorpus, tokenizer: TextTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def tables(of: TextTokenizer) -> set[Path]:
        prepare_tokens([small], ["en"], of, tmp_path, progress=False)
        return {path.parent for path in tmp_path.rglob("tokens.json")}

    first = tables(tokenizer)
    before = contents(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(TextTokenizer, "__call__", None)  # nothing is tokenised
        assert tables(tokenizer) == first
    assert contents(tmp_path) == before
    assert len(first) == 2
    longer = tables(tokenizer.shortened(10, None))
    assert len(longer) == 3  # passages are as they were
    prefixed = TextTokenizer(tokenizer.hf_tokenizer, {"query": "", "passage": "x"}, tokenizer.max_length)
    assert len(tables(prefixed)) == 5
    tokenizer.hf_tokenizer(["state", "of the last call"], padding=True, truncation=True, max_length=5)
    assert len(tables(tokenizer)) == 5


def test_damaged_tables_are_made_again(store: TokenStore, small: ParallelCorpus, tmp_path: Path) -> None:
    folder = store.table(small, "en", "passage").folder
    ids = np.arange(small.counts["passages"])
    expected = lists(store(small, "passage", ["en"] * len(ids), ids))
    for damage in ("ids.bin", "offsets.bin", "tokens.json"):
        content = (folder / damage).read_bytes()
        (folder / damage).write_bytes(content[: len(content) // 2])
        with pytest.raises(UserError, match="no complete token sequences"):
            TokenTable(folder)
        again = prepare_tokens([small], LANGUAGES, store.tokenizer, tmp_path, progress=False)
        assert lists(again(small, "passage", ["en"] * len(ids), ids)) == expected


def test_an_interrupted_preparation_leaves_nothing(
    small: ParallelCorpus, tokenizer: TextTokenizer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> Iterator[Any]:
        yield [[1, 2]]
        raise KeyboardInterrupt

    monkeypatch.setattr(token_store, "_tokenised", broken)
    monkeypatch.delenv("TOKENIZERS_PARALLELISM")
    with pytest.raises(KeyboardInterrupt):
        prepare_tokens([small], LANGUAGES, tokenizer, tmp_path, progress=False)

    assert not [path for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".lock"]
    assert os.environ["TOKENIZERS_PARALLELISM"] == "false"


PREPARE = """
import sys, time
from pathlib import Path
from hybrid_retrieval.data import token_store
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.models.hf_folder import load_tokenizer
from hybrid_retrieval.models.text_tokenizer import TextTokenizer
corpus, model, cache, wait = sys.argv[1:]
one = {"query": "", "passage": ""}, {"query": 12, "passage": 24}
tokenizer = TextTokenizer(load_tokenizer(Path(model)), *one)
def slow(batches, *_, **__):
    for batch, _ in batches:
        yield batch
        print("made", flush=True)
        time.sleep(float(wait))
token_store.shown = slow
train = ParallelCorpus.open(Path(corpus), "train")
store = token_store.prepare_tokens([train], ["en"], tokenizer, Path(cache))
print(*sorted(table.folder.name for table in store.tables.values()))
"""


def test_of_two_processes_one_makes_a_table_and_after_a_kill_the_other(
    small: ParallelCorpus, tmp_path: Path
) -> None:
    """The first is killed in the middle of its first table; two more find what it left and share the work."""
    model = prepare_tiny(tmp_path)

    def start(wait: float) -> "subprocess.Popen[str]":
        arguments = [str(small.folder), str(model), str(tmp_path), str(wait)]
        return subprocess.Popen(
            [sys.executable, "-c", PREPARE, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
        )

    first = start(60)
    assert first.stdout is not None
    assert first.stdout.readline() == "made\n"
    first.send_signal(signal.SIGKILL)
    first.communicate()
    assert len(list((tmp_path / "tokens").glob(".*.new-*"))) == 1
    assert not list((tmp_path / "tokens").glob("[!.]*"))
    others = [start(0.3), start(0.3)]
    outputs = [other.communicate(timeout=60)[0].splitlines() for other in others]

    assert outputs[0][-1] == outputs[1][-1]
    assert sum(lines.count("made") for lines in outputs) == 2  # each of the two tables once
    names = {path.name for path in (tmp_path / "tokens").glob("[!.]*")}
    assert names == set(outputs[0][-1].split())
    assert not list((tmp_path / "tokens").glob(".*.new-*"))


def test_preparation_holds_one_batch_at_a_time(tmp_path: Path) -> None:
    """The writer asks for the next batch after it has let go of the last."""
    alive = list[int]()

    class Batch(list[Any]):
        def __init__(self, *rows: Any) -> None:
            super().__init__(rows)
            alive.append(1)

        def __del__(self) -> None:
            alive.pop()

    def batches() -> Iterator[Batch]:
        for i in range(5):
            yield Batch([i, i], None, [])
            assert len(alive) <= 1

    write_tokens(tmp_path, batches(), 70_000)
    table = TokenTable(tmp_path)
    assert lists([table[row] for row in range(6)]) == [[0, 0], None, [], [1, 1], None, []]


@pytest.mark.parametrize(("vocabulary", "bytes_each"), [(1 << 16, 2), (1 << 16 | 1, 4)])
def test_ids_take_two_bytes_where_they_fit(tmp_path: Path, vocabulary: int, bytes_each: int) -> None:
    write_tokens(tmp_path, [[[0, vocabulary - 1]], [[7]]], vocabulary)
    table = TokenTable(tmp_path)

    assert (tmp_path / "ids.bin").stat().st_size == 3 * bytes_each
    assert lists([table[0], table[1]]) == [[0, vocabulary - 1], [7]]
    with pytest.raises(ValueError, match="in a vocabulary of"):
        write_tokens(tmp_path, [[[vocabulary]]], vocabulary)


def test_distinct_ids_of_some_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hybrid_retrieval.data.token_table._ROWS_AT_ONCE", 3)
    generator = np.random.default_rng(0)
    rows = [generator.integers(50, size=n).tolist() if n else None for n in generator.integers(5, size=20)]
    write_tokens(tmp_path, [rows[:7], rows[7:]], 50)
    chosen = generator.random(25) < 0.4

    expected = {i for row, taken in zip(rows, chosen, strict=False) if taken for i in row or ()}
    assert TokenTable(tmp_path).distinct(chosen).tolist() == sorted(expected)
    assert TokenTable(tmp_path).distinct().tolist() == sorted({i for row in rows for i in row or ()})


def test_an_unusable_cache_is_the_users_mistake(
    small: ParallelCorpus, tokenizer: TextTokenizer, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(UserError, match=r"paths\.cache"):
        prepare_tokens([small], LANGUAGES, tokenizer, tmp_path / "file", progress=False)


def test_text_count_bounds_what_is_tokenised(small: ParallelCorpus, store: TokenStore) -> None:
    held = sum(len(table) for table in store.tables.values())
    assert held <= text_count([small], ["de", "en", "th", "xx"]) == 3 * (4 + 3)


@pytest.mark.parametrize("workers", [0, 2])
def test_batches_are_the_same_with_and_without_the_store(tmp_path: Path, workers: int) -> None:
    """Hard negatives that triples and languages lack included; also in loader processes."""
    parts.prepare(tmp_path)
    plan, anew = parts.plan(tmp_path), parts.collator(tmp_path)
    store = prepare_tokens(anew.corpora, parts.LANGUAGES, anew.tokenizer, tmp_path, progress=False)
    kept = Collator(
        anew.corpora,
        parts.LANGUAGES,
        anew.tokenizer,
        hard_negatives=parts.HARD_NEGATIVES,
        token_budget=anew.token_budget,
        tokens=store,
    )
    loader = iter(StepLoader(PlannedBatches(plan, kept, 0, 1), 6, workers=workers))
    for step in range(6):
        expected, found = anew(plan[step]), next(loader)
        for name in ("queries", "passages"):
            one, other = getattr(expected, name), getattr(found, name)
            assert torch.equal(one.sequences.tokens, other.sequences.tokens)
            assert one.sequences.lengths == other.sequences.lengths
            assert torch.equal(one.order, other.order)
        for name in ("query_languages", "passage_languages"):
            assert torch.equal(getattr(expected, name), getattr(found, name))
        for name in ("query", "passage"):
            assert torch.equal(getattr(expected.ids, name), getattr(found.ids, name))
        assert -1 in found.ids.passage
