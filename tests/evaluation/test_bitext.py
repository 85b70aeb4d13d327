import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmarks.tatoeba import tatoeba
from hybrid_retrieval.evaluation.bitext import (
    Bitext,
    SentencePairs,
    accuracy,
    evaluate_bitext,
    f1,
    nearest_positions,
)
from hybrid_retrieval.evaluation.embedder import EncoderEmbedder
from hybrid_retrieval.evaluation.results import REQUIRED, Results
from hybrid_retrieval.models.backbones import prepare_backbone
from hybrid_retrieval.models.encoder import TextEncoder

from .synthetic import exact_embeddings


class Table:
    """Embeds each text by a function of it, and keeps what it was asked."""

    name = "table"

    def __init__(self, embedding: Callable[[str], np.ndarray]) -> None:
        self.embedding = embedding
        self.asked: list[tuple[list[str], list[str], str, str | None]] = []

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: str, *, title: str | None = None
    ) -> np.ndarray:
        self.asked.append((list(ids), list(texts), kind, title))
        return np.stack([self.embedding(text) for text in texts]).astype(np.float32)


def random_embedding(text: str) -> np.ndarray:
    """Of the text without its language, plus noise of the text: translations are near each other."""
    word = text.partition(" ")[0]
    generators = [np.random.default_rng(zlib.crc32(of.encode())) for of in (word, text)]
    return generators[0].normal(size=6) + 0.9 * generators[1].normal(size=6)


def numbers(code: str, count: int, start: int = 0) -> list[str]:
    return [f"{i} {code}" for i in range(start, start + count)]


def two_pairs() -> Bitext:
    return Bitext(
        "tatoeba",
        (
            SentencePairs(("de", "en"), (numbers("de", 40), numbers("en", 40))),
            SentencePairs(("sw", "en"), (numbers("sw", 25, 30), numbers("en", 25, 30))),
        ),
    )


def test_accuracy_and_f1_by_hand() -> None:
    nearest = np.array([0, 0, 2, 2, 2])
    assert accuracy(nearest).tolist() == [1, 0, 1, 0, 0]
    # Position 0 is found twice (precision 1/2, recall 1), position 2 three times.
    assert f1(nearest).tolist() == [2 / 3, 0, 1 / 2, 0, 0]


@given(st.integers(1, 30).flatmap(lambda n: st.lists(st.integers(0, n - 1), min_size=n, max_size=n)))
def test_the_means_are_those_of_sklearn_that_mteb_takes(nearest: list[int]) -> None:
    labels = list(range(len(nearest)))
    assert accuracy(np.array(nearest)).mean() == pytest.approx(accuracy_score(labels, nearest))
    expected = f1_score(labels, nearest, average="weighted", zero_division=0)
    assert f1(np.array(nearest)).mean() == pytest.approx(expected)


@given(seed=st.integers(0, 10**6), queries=st.integers(1, 12), candidates=st.integers(1, 12))
@settings(deadline=None)
def test_the_nearest_is_the_first_of_the_best(seed: int, queries: int, candidates: int) -> None:
    """Inner products of small whole numbers are exact, and many are equal."""
    of_queries = exact_embeddings(seed, queries)
    of_candidates = exact_embeddings(seed + 1, candidates)
    expected = [max(range(candidates), key=lambda c: (q @ of_candidates[c], -c)) for q in of_queries]
    assert nearest_positions(of_queries, of_candidates).tolist() == expected


def test_every_pair_is_searched_in_both_directions_among_its_own_sentences() -> None:
    """Against loops over the definition, from cosines in float64."""
    bitext = two_pairs()
    metrics = evaluate_bitext(Table(random_embedding), bitext, progress=False).metrics
    expected: dict[str, dict[str, tuple[float, float]]] = {}
    for pair in bitext.pairs:
        vectors = [np.stack([random_embedding(s) for s in side]) for side in pair.sentences]
        units = [side / np.linalg.norm(side, axis=1, keepdims=True) for side in vectors]
        for side in (0, 1):
            found = [int(np.argmax(units[1 - side] @ vector)) for vector in units[side]]
            right = [line for line, at in enumerate(found) if at == line]
            classes = [2 / (1 + found.count(line)) for line in right]
            expected.setdefault(pair.languages[side], {})[pair.languages[1 - side]] = (
                len(right) / len(found),
                sum(classes) / len(found),
            )
    assert {x: set(others) for x, others in metrics["per_pair"].items()} == {
        "de": {"en"}, "en": {"de", "sw"}, "sw": {"en"}
    }  # fmt: skip
    for x, others in expected.items():
        for y, (right, score) in others.items():
            assert metrics["per_pair"][x][y] == pytest.approx({"accuracy": right, "f1": score})
    assert 0.1 < metrics["cross_lingual"]["accuracy"] < 0.9
    for number, key in enumerate(("accuracy", "f1")):
        means = [expected[x][y][number] for x, y in (("de", "en"), ("en", "de"), ("sw", "en"), ("en", "sw"))]
        assert metrics["cross_lingual"][key] == pytest.approx(np.mean(means))
        of_english = metrics["per_language"]["en"]["cross_lingual"][key]
        assert of_english == pytest.approx((means[1] + means[3]) / 2)


def test_results_follow_the_schema_and_agree_with_their_table(tmp_path: Path) -> None:
    results = evaluate_bitext(Table(random_embedding), two_pairs(), run={"seed": 3}, progress=False)
    results.write(tmp_path)
    metrics, table = Results.read(tmp_path).metrics, Results.read(tmp_path).per_query
    assert set(REQUIRED) <= set(metrics)
    assert metrics["benchmark"] == "tatoeba"
    assert metrics["run"] == {"seed": 3}
    assert metrics["counts"] == {
        "queries": {"de": 40, "en": 65, "sw": 25},
        "candidates": {"de": 40, "en": 65, "sw": 25},
        "pool": 40,
    }
    assert metrics["monolingual"] == metrics["multilingual"] == metrics["language_bias"] == {}
    rows = table.to_pylist()
    assert len({row["query_id"] for row in rows}) == len(rows) == 130
    assert rows[41] | {"cross_lingual/accuracy": 0, "cross_lingual/f1": 0} == {
        "query_id": "de-en:en:2",
        "group": "de-en:2",
        "language": "en",
        "candidate_language": "de",
        "cross_lingual/accuracy": 0,
        "cross_lingual/f1": 0,
    }
    for x, others in metrics["per_pair"].items():
        for y, values in others.items():
            of_pair = [row for row in rows if (row["language"], row["candidate_language"]) == (x, y)]
            for key, value in values.items():
                assert np.mean([row[f"cross_lingual/{key}"] for row in of_pair]) == pytest.approx(value)


def test_sentences_are_embedded_at_once_as_the_kind_asked_for() -> None:
    bitext = Bitext("tatoeba", two_pairs().pairs, kind="passage")
    table = Table(random_embedding)
    evaluate_bitext(table, bitext)
    ((ids, texts, kind, title),) = table.asked
    assert kind == "passage"
    assert title == "tatoeba: 130 sentences"
    assert len(set(ids)) == len(ids) == 130
    assert dict(zip(ids, texts, strict=True))["sw-en:sw:25"] == "54 sw"


def test_a_repeated_sentence_finds_its_first_line() -> None:
    """XTREME compares line numbers, so the second of two equal lines is an error in one direction or both."""
    pair = SentencePairs(("de", "en"), (["1 x", "2 x", "1 x"], ["1 x", "2 x", "1 x"]))
    metrics = evaluate_bitext(Table(random_embedding), Bitext("b", (pair,)), progress=False).metrics
    assert metrics["per_pair"]["de"]["en"] == pytest.approx({"accuracy": 2 / 3, "f1": (2 / 3 + 1) / 3})
    same = Bitext("b", (SentencePairs(("de", "en"), (numbers("de", 9), numbers("en", 9))),))
    collapsed = evaluate_bitext(Table(lambda text: np.ones(4)), same, progress=False).metrics
    assert collapsed["cross_lingual"] == pytest.approx({"accuracy": 1 / 9, "f1": 2 / 10 / 9})


def test_lengths_of_embeddings_do_not_matter() -> None:
    """Neighbours are nearest by cosine, whatever the embedder gives."""

    def scaled(text: str) -> np.ndarray:
        return random_embedding(text) * 2.0 ** (zlib.crc32(text.encode()) % 7 - 3)

    tables = [
        evaluate_bitext(Table(of), two_pairs(), progress=False).per_query for of in (random_embedding, scaled)
    ]
    assert tables[0] == tables[1]


def test_broken_embeddings_are_refused_and_named() -> None:
    def broken(text: str) -> np.ndarray:
        return np.full(3, np.nan) if text == "1 en" else np.ones(3)

    with pytest.raises(UserError, match=r"tatoeba: embeddings: 1 of 130 hold NaN.*'de-en:en:2'"):
        evaluate_bitext(Table(broken), two_pairs(), progress=False)


def test_sides_must_fit() -> None:
    with pytest.raises(ValueError, match="equally many"):
        SentencePairs(("de", "en"), (["a"], []))
    pair = SentencePairs(("de", "en"), (["a"], ["b"]))
    with pytest.raises(ValueError, match="no two of them"):
        Bitext("b", (pair, SentencePairs(("en", "de"), (["a"], ["b"]))))


@pytest.mark.slow
@pytest.mark.network
def test_e5_small_q4_on_german(shared_data: Path) -> None:
    folder = shared_data / "tatoeba"
    if not folder.is_dir():
        pytest.skip(f"needs Tatoeba in {folder}")
    prepare_backbone("e5_small_q4")
    embedder = EncoderEmbedder(TextEncoder.load("e5_small_q4"))
    pairs = evaluate_bitext(embedder, tatoeba(folder, languages=["de"]), progress=False).metrics["per_pair"]
    assert pairs["de"]["en"] == pytest.approx({"accuracy": 0.980, "f1": 0.973}, abs=0.005)
    assert pairs["en"]["de"] == pytest.approx({"accuracy": 0.962, "f1": 0.950}, abs=0.005)
