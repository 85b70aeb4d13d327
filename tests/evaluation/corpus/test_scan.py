import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.corpus.benchmark import Collection, CorpusBenchmark, CorpusQuery, Passage
from hybrid_retrieval.evaluation.corpus.encode import encode_corpus
from hybrid_retrieval.evaluation.corpus.scan import scan
from tests.evaluation.corpus.small import TextEmbedder, collection

TEXTS = {f"d{n}": f"text {n}" for n in range(11)}
QUERIES = [CorpusQuery("1", "one", "de", {"d4": 1, "d10": 2}), CorpusQuery("2", "two", "de", {"d4": 1})]


def stream(*passages: tuple[str, str]) -> Collection:
    def read() -> Iterator[Passage]:
        for number, (passage_id, text) in enumerate(passages, start=1):
            yield Passage(passage_id, text, "de", f"docs-0.jsonl:{number}")

    return Collection("de", read, tuple(QUERIES))


def test_counts_positions_and_the_digest_of_each_shard() -> None:
    found = scan(collection("de", TEXTS, QUERIES, languages=["de", "fr"]), 4)

    assert (found.passages, found.languages) == (11, {"de": 6, "fr": 5})
    assert found.positions == {"d4": 4, "d10": 10}
    last = b"2 6 d8text 8" + b"2 6 d9text 9" + b"3 7 d10text 10"
    assert found.texts[2] == hashlib.sha256(last).hexdigest()
    assert len(found.texts) == 3


def test_only_the_shard_of_a_changed_passage_changes() -> None:
    before = scan(collection("de", TEXTS, QUERIES), 4).texts
    after = scan(collection("de", {**TEXTS, "d5": "changed"}, QUERIES), 4).texts
    assert [a == b for a, b in zip(before, after, strict=True)] == [True, False, True]


def test_repeated_ids_are_counted_and_the_first_is_named_with_both_places() -> None:
    passages = [*TEXTS.items(), ("d7", "again"), ("d2", "again"), ("d7", "again")]
    says = r"docs-0\.jsonl:12: passage id 'd7' was already given at docs-0\.jsonl:8; 3 passages of de repeat"
    with pytest.raises(UserError, match=says):
        scan(stream(*passages), 4)


def test_ids_that_only_share_a_hash_are_no_repeats() -> None:
    class SameHash(str):
        def __hash__(self) -> int:
            return 7

    passages = [*TEXTS.items(), (SameHash("x"), "x"), (SameHash("y"), "y")]
    assert scan(stream(*passages), 4).passages == 13


@pytest.mark.parametrize("text", ["", " \t\n"])
def test_an_empty_passage_is_named(text: str) -> None:
    with pytest.raises(UserError, match=r"docs-0\.jsonl:2: passage 'e' has no text"):
        scan(stream(("d4", "text"), ("e", text)), 4)


def test_unknown_relevant_passages_are_counted_and_named() -> None:
    known = [(i, text) for i, text in TEXTS.items() if i != "d10"]
    with pytest.raises(UserError, match=r"1 of 2 relevant passages are unknown.*'d10', which answers query"):
        scan(stream(*known), 4)


def test_a_collection_without_passages_is_refused() -> None:
    with pytest.raises(UserError, match="hold no passage"):
        scan(stream(), 4)


def test_queries_without_a_relevant_passage_are_counted_and_named() -> None:
    queries = [*QUERIES, *(CorpusQuery(f"n{i}", "text", "de", {}) for i in range(7))]
    with pytest.raises(
        UserError, match=r"7 of 9 queries have no relevant passage: 'n0', 'n1', 'n2', 'n3', 'n4', \.\.\."
    ):
        collection("de", TEXTS, queries)
    with pytest.raises(UserError, match="no queries"):
        collection("de", TEXTS, [])


def test_nothing_is_encoded_if_any_collection_has_a_mistake(tmp_path: Path) -> None:
    good, bad = collection("de", TEXTS, QUERIES), collection("fr", {"d4": "text"}, QUERIES)
    embedder = TextEmbedder()
    with pytest.raises(UserError, match="relevant passages are unknown"):
        encode_corpus(
            embedder, CorpusBenchmark("b", (good, bad), ("map",), "monolingual"), tmp_path, fingerprint="f"
        )
    assert embedder.passages == 0
