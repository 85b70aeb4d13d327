"""Questions with several positives: what is mined for them, written, and read back."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.data.readers.base import TextBatch, TripleBatch
from hybrid_retrieval.data.readers.jsonl import JsonlReader
from hybrid_retrieval.mining.mine import Mined, mine
from hybrid_retrieval.mining.settings import MiningSettings
from hybrid_retrieval.mining.write import write_corpus
from tests.data.memory_reader import RowsByLanguage, opened, row
from tests.mining.corpora import RandomEmbedder

EVERYTHING = MiningSettings(k=20, range_max=20, relative_margin=None, candidates="corpus")
Triple = tuple[str, str]


class DistinctEmbedder(RandomEmbedder):
    """Refuses to embed an id twice, as the contract of `Embedder` lets it."""

    def embed(self, ids: Sequence[str], texts: Sequence[str], kind: str, **options: Any) -> np.ndarray:
        assert len(set(ids)) == len(ids)
        return super().embed(ids, texts, kind, **options)


@dataclass
class Texts:
    """A source of texts by id, as mMARCO is."""

    queries_of: dict[str, list[str]]
    passages_of: dict[str, list[str]]
    listed: list[tuple[str, str, list[str]]]
    name: str = "texts"
    options: dict[str, str] = field(default_factory=dict)

    def languages(self) -> list[str]:
        return sorted(self.queries_of)

    def fingerprint(self, languages: Sequence[str], hash_file: Callable[[Path], str]) -> str:
        return json.dumps([self.queries_of, self.passages_of, self.listed, list(languages)])

    def source_bytes(self, language: str | None) -> int:
        return 1

    def queries(self, language: str) -> Iterator[TextBatch]:
        ids = self.queries_of[language]
        yield TextBatch(ids, [f"{language} question {name}" for name in ids])

    def passages(self, language: str) -> Iterator[TextBatch]:
        ids = self.passages_of[language]
        yield TextBatch(ids, [f"{language} passage {name}" for name in ids])

    def triples(self) -> Iterator[TripleBatch]:
        queries, positives, negatives = zip(*self.listed, strict=True)
        offsets = np.cumsum([0, *map(len, negatives)])
        yield TripleBatch(queries, positives, [n for of in negatives for n in of], offsets, "train")


def triples(corpus: ParallelCorpus) -> dict[Triple, list[str]]:
    """Negatives by ids of query and positive; each triple once."""
    everything = np.arange(len(corpus))
    columns = (
        corpus.row_ids(everything),
        corpus.passage_ids(corpus.positives(everything).tolist()),
        [corpus.passage_ids([n for n in of if n >= 0]) for of in corpus.negatives(everything, 30).tolist()],
    )
    found = {(query, positive): negatives for query, positive, negatives in zip(*columns, strict=True)}
    assert len(found) == len(corpus)
    return found


def read_back(mined: Mined, folder: Path, **options: Any) -> dict[str, ParallelCorpus]:
    write_corpus(mined.corpus, mined.languages, mined.by_pair(), folder / "mined", {}, **options)
    build_corpus(JsonlReader(folder / "mined"), folder / "again")
    return {split: ParallelCorpus.open(folder / "again", split) for split in SPLITS}


def repeated() -> RowsByLanguage:
    """r0 has p0 and p1 in both languages, p2 in German alone; r3 asks r4's question in English alone."""
    made: RowsByLanguage = {}
    for code in ("de", "en"):
        rows = [row(code, 0), *(row(code, i) for i in range(3, 8))]
        more = (1, 2) if code == "de" else (1,)
        rows += [replace(row(code, 0, passage), question=rows[0].question) for passage in more]
        if code == "en":
            rows[1] = replace(rows[1], question="en question 4")
        rows += [row(code, 8, split="validation"), row(code, 8, 9, split="validation")]
        made[code] = [replace(r, split=r.split or "train") for r in rows]
    return made


def test_rows_of_one_question_are_mined_written_and_read_back(tmp_path: Path) -> None:
    corpus = opened(repeated(), tmp_path / "corpus")["train"]
    before = triples(corpus)
    assert sorted(positive for query, positive in before if query == "r0") == ["p0", "p1", "p2"]

    mined = mine(corpus, DistinctEmbedder(), EVERYTHING)
    after = read_back(mined, tmp_path)

    everything = {f"p{i}" for i in range(10)}
    expected = {
        **{("r0", f"p{i}"): everything - {"p0", "p1", "p2"} for i in range(3)},
        **{(f"r{i}", f"p{i}"): everything - {"p3", "p4"} for i in (3, 4)},
        **{(f"r{i}", f"p{i}"): everything - {f"p{i}"} for i in (5, 6, 7)},
    }
    assert {pair: set(negatives) for pair, negatives in mined.by_pair().items()} == expected
    assert triples(after["train"]) == mined.by_pair()
    assert triples(after["validation"]) == {("r8", "p8"): [], ("r8", "p9"): []}
    for split in SPLITS:
        whole = opened(repeated(), tmp_path / f"corpus-{split}")[split]
        for code in corpus.languages:
            texts = [
                {(r.id, r.passage_id, r.question, r.passage) for r in c.rows(code)}
                for c in (whole, after[split])
            ]
            assert texts[0] == texts[1]
    # The triples of r0 still share a query.
    queries = after["train"].queries(np.arange(len(after["train"])))
    assert len(set(queries.tolist())) == 6 < len(queries) == 8


def source() -> Texts:
    """(1, a) twice with other negatives; n is nobody's positive, b lacks English, 3 has no German text."""
    names = ["a", "b", "c", "d", "e", "n"]
    return Texts(
        {"de": ["1", "2"], "en": ["1", "2", "3"]},
        {"de": names, "en": [name for name in names if name != "b"]},
        [
            *(("1", "a", ["c"]), ("1", "b", ["n"]), ("1", "a", ["n", "d"])),
            *(("2", "c", ["e"]), ("3", "d", []), ("3", "e", ["a"])),
        ],
    )


def by_id(folder: Path) -> ParallelCorpus:
    build_corpus(source(), folder)
    return ParallelCorpus.open(folder, "train")


def test_triples_of_a_source_by_id_are_mined_written_and_read_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    corpus = by_id(tmp_path / "corpus")
    assert len(corpus) == 6

    with caplog.at_level("WARNING"):
        mined = mine(corpus, DistinctEmbedder(), EVERYTHING)
    assert "1 passages are no candidates" in caplog.text
    after = read_back(mined, tmp_path)["train"]

    found = {pair: set(negatives) for pair, negatives in mined.by_pair().items()}
    assert found == {
        ("1", "a"): {"c", "d", "e"},
        ("1", "b"): {"c", "d", "e"},
        ("2", "c"): {"a", "b", "d", "e"},
        ("3", "d"): {"a", "b", "c"},
        ("3", "e"): {"a", "b", "c"},
    }
    assert triples(after) == mined.by_pair()
    rows = {code: {(r.id, r.passage_id) for r in after.rows(code)} for code in ("de", "en")}
    assert rows == {
        "de": {("1", "a"), ("1", "b"), ("2", "c")},
        "en": {("1", "a"), ("2", "c"), ("3", "d"), ("3", "e")},
    }


def test_existing_negatives_of_all_triples_of_a_pair_are_kept_and_not_mined(tmp_path: Path) -> None:
    corpus = by_id(tmp_path / "corpus")
    mined = mine(corpus, DistinctEmbedder(), replace(EVERYTHING, keep_existing=True))

    after = triples(read_back(mined, tmp_path, keep_existing=True)["train"])

    # n can be no row: it is nobody's positive.
    assert mined.by_pair()["1", "a"] == ["e"]
    assert sorted(after["1", "a"][:2]) == ["c", "d"]
    assert after["1", "a"][2:] == ["e"]
    assert set(mined.by_pair()["2", "c"]) == {"a", "b", "d"}
    assert after["2", "c"][0] == "e"
