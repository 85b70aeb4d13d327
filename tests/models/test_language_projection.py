"""The map that takes the language out of embeddings: its formulas, what it leaves, and as part of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.estimate_language_projection import (
    estimate_language_projection,
    parallel_texts,
)
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.language_projection import append_projection, language_projection
from tests.data.memory_reader import RowsByLanguage, opened, row
from tests.models.embedding import embed

LANGUAGES, TEXTS, DIMENSION = 4, 300, 12
NOISY = np.geomspace(2, 0.02, DIMENSION)


@pytest.fixture
def embeddings() -> np.ndarray:
    """Text + language offset + noise, more of it in the first dimensions; (languages, texts, dimension)."""
    random = np.random.default_rng(0)
    texts = random.normal(size=(1, TEXTS, DIMENSION))
    offsets = random.normal(size=(LANGUAGES, 1, DIMENSION))
    noise = NOISY * random.normal(size=(LANGUAGES, TEXTS, DIMENSION))
    return (texts + offsets + noise).astype(np.float32)


def by_loops(embeddings: np.ndarray, directions: int, shrinkage: float | None) -> np.ndarray:
    """The formulas, a text at a time."""
    x = embeddings.astype(np.float64)
    languages, texts, dimension = x.shape
    within, between = np.zeros((dimension, dimension)), np.zeros((dimension, dimension))
    for language in range(languages):
        offset = np.zeros(dimension)
        for text in range(texts):
            deviation = x[language, text] - sum(x[other, text] for other in range(languages)) / languages
            offset += deviation / texts
            within += np.outer(deviation, deviation) / (languages * texts)
        between += np.outer(offset, offset) / languages
    projection = np.eye(dimension)
    values, vectors = np.linalg.eigh(between)
    for number in np.argsort(-values)[:directions]:
        projection -= np.outer(vectors[:, number], vectors[:, number])
    if shrinkage is None:
        return projection
    values, vectors = np.linalg.eigh(within - between)
    damping = np.zeros((dimension, dimension))
    for value, vector in zip(values, vectors.T, strict=True):
        damping += np.outer(vector, vector) / np.sqrt(max(value, 0) / values.mean() + shrinkage)
    return projection @ damping


def language_means(embeddings: np.ndarray) -> np.ndarray:
    return np.asarray(embeddings.mean(axis=1, dtype=np.float64))


def share_within_texts(embeddings: np.ndarray) -> float:
    """Of the variance around the means of the languages, how much is among the translations of a text."""
    centred = embeddings.astype(np.float64) - embeddings.mean(axis=1, keepdims=True, dtype=np.float64)
    return float(np.square(centred - centred.mean(axis=0)).sum() / np.square(centred).sum())


@pytest.mark.parametrize("directions", [0, 1, 2, 3])
@pytest.mark.parametrize("shrinkage", [None, 0.1, 3.0])
def test_the_formulas(embeddings: np.ndarray, directions: int, shrinkage: float | None) -> None:
    found = language_projection(embeddings, directions=directions, shrinkage=shrinkage)

    assert found.shape == (DIMENSION, DIMENSION)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, by_loops(embeddings, directions, shrinkage), atol=1e-5)


@pytest.mark.parametrize("shrinkage", [None, 3.0])
def test_all_languages_have_the_same_mean(embeddings: np.ndarray, shrinkage: float | None) -> None:
    before = language_means(embeddings)
    after = language_means(embeddings @ language_projection(embeddings, shrinkage=shrinkage))

    assert np.ptp(before, axis=0).max() > 1
    assert np.ptp(after, axis=0).max() < 1e-5
    some = language_means(embeddings @ language_projection(embeddings, directions=2, shrinkage=shrinkage))
    assert np.ptp(some, axis=0).max() > 1e-2


def test_only_offsets_are_removed_without_damping(embeddings: np.ndarray) -> None:
    projection = language_projection(embeddings, shrinkage=None)

    np.testing.assert_allclose(projection @ projection, projection, atol=1e-6)
    assert np.trace(projection) == pytest.approx(DIMENSION - (LANGUAGES - 1), abs=1e-5)


def test_nothing_to_do_is_the_identity(embeddings: np.ndarray) -> None:
    found = language_projection(embeddings, directions=0, shrinkage=None)
    np.testing.assert_array_equal(found, np.eye(DIMENSION))


def test_equal_texts_in_all_languages_lose_nothing(embeddings: np.ndarray) -> None:
    """There are no offsets then, and no directions that tell the language."""
    same = np.repeat(embeddings[:1], 3, axis=0)
    np.testing.assert_array_equal(language_projection(same), np.eye(DIMENSION))


def test_order_is_no_matter(embeddings: np.ndarray) -> None:
    random = np.random.default_rng(1)
    other = embeddings[random.permutation(LANGUAGES)][:, random.permutation(TEXTS)]
    np.testing.assert_allclose(language_projection(other), language_projection(embeddings), atol=1e-6)


def test_scale_is_no_matter(embeddings: np.ndarray) -> None:
    np.testing.assert_allclose(
        language_projection(embeddings / 1000), language_projection(embeddings), atol=1e-5
    )


def test_less_varies_among_translations_the_smaller_the_shrinkage(embeddings: np.ndarray) -> None:
    shares = [
        share_within_texts(embeddings @ language_projection(embeddings, shrinkage=shrinkage))
        for shrinkage in (0.1, 3.0, 100.0, None)
    ]
    assert shares == sorted(shares)
    assert shares[0] < 0.7 * shares[-1]


def test_few_texts_give_a_finite_map(embeddings: np.ndarray) -> None:
    """Fewer deviations than dimensions: the shrinkage carries."""
    found = language_projection(embeddings[:2, :5], shrinkage=1e-3)
    assert np.isfinite(found).all()


def test_settings_that_do_not_fit_are_refused(embeddings: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"projection\.directions=4 must be from 0 to 3"):
        language_projection(embeddings, directions=4)
    with pytest.raises(UserError, match=r"projection\.shrinkage=0"):
        language_projection(embeddings, shrinkage=0.0)
    with pytest.raises(ValueError, match="two languages"):
        language_projection(embeddings[:1])


def test_as_a_module_it_is_saved_and_loads_elsewhere(
    tiny_folder: Path, texts: list[str], tmp_path: Path
) -> None:
    """After two of them too: each is applied to what the one before gave."""
    from sentence_transformers import SentenceTransformer  # noqa: PLC0415 (seconds)

    encoder = TextEncoder.from_folder(tiny_folder, name="tiny")
    random = np.random.default_rng(2)
    expected = embed(encoder, texts, "passage").numpy()
    for number in range(2):
        projection = random.normal(size=(encoder.dimension, encoder.dimension)).astype(np.float32)
        append_projection(encoder, projection)
        expected = expected @ projection
        expected /= np.linalg.norm(expected, axis=1, keepdims=True)
        found = embed(encoder, texts, "passage")
        np.testing.assert_allclose(found, expected, atol=1e-5)

        folder = tmp_path / str(number)
        encoder.save(folder)
        assert torch.equal(embed(TextEncoder.load(str(folder)), texts, "passage"), found)
        theirs = SentenceTransformer(str(folder), device="cpu").encode_document(texts)
        np.testing.assert_allclose(theirs, expected, atol=1e-4)
    with pytest.raises(ValueError, match="dimension 64"):
        append_projection(encoder, np.eye(3, dtype=np.float32))


def test_passages_that_all_languages_have(tmp_path: Path) -> None:
    rows: RowsByLanguage = {
        "th": [row("th", n) for n in range(30, 160)],
        "de": [row("de", n) for n in range(140)],
        "en": [row("en", n) for n in range(160)],
    }
    corpus = opened(rows, tmp_path / "one")["train"]

    def numbers(passages: Mapping[str, str]) -> list[int]:
        return [int(text.split()[-1]) for text in passages.values()]

    found = parallel_texts([corpus])
    assert list(found) == ["de", "en", "th"]
    assert sorted(numbers(found["de"])) == list(range(30, 140))
    for code, passages in found.items():
        assert list(passages.values()) == [f"{code} passage {number}" for number in numbers(found["de"])]

    some = parallel_texts([corpus], texts=120, languages=["en", "de"])
    assert [len(passages) for passages in some.values()] == [120, 120]
    assert some == parallel_texts([corpus], texts=120, languages=["de", "en"])
    assert some != parallel_texts([corpus], texts=120, languages=["de", "en"], seed=1)

    second = opened(
        {code: [row(code, n) for n in range(200, 290)] for code in ("de", "en")}, tmp_path / "two"
    )
    both = parallel_texts([corpus, second["train"]], texts=160, languages=["de", "en"])
    assert sum(number >= 200 for number in numbers(both["en"])) == 80
    assert numbers(both["de"]) == numbers(both["en"])
    assert len(both["en"]) == 160


def test_too_little_to_estimate_from_is_refused(tmp_path: Path) -> None:
    rows: RowsByLanguage = {
        "de": [row("de", n) for n in range(99)],
        "en": [row("en", n) for n in range(150)],
    }
    corpus = opened(rows, tmp_path / "corpus")["train"]
    with pytest.raises(UserError, match=r"has 99 passages .* all of de, en have, and at least 100"):
        parallel_texts([corpus])
    with pytest.raises(UserError, match=r"one language \(de\)"):
        parallel_texts([corpus], languages=["de", "de"])
    with pytest.raises(UserError, match="has no texts in th, only in de, en"):
        parallel_texts([corpus], languages=["de", "th"])
    with pytest.raises(UserError, match=r"projection\.texts=99"):
        parallel_texts([corpus], texts=99)


class RowEmbedder:
    """Embeds "2 17" as text 17 in language 2 of an array, and counts calls."""

    name = "rows"

    def __init__(self, embeddings: np.ndarray) -> None:
        self.embeddings, self.calls = embeddings, 0

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: str, *, title: str | None = None
    ) -> np.ndarray:
        self.calls += 1
        assert len(set(ids)) == len(texts)
        assert kind == "passage"
        return np.stack([self.embeddings[tuple(map(int, text.split()))] for text in texts])

    def alone(self) -> tuple[Embedder, str]:
        raise NotImplementedError


def test_estimated_from_texts(embeddings: np.ndarray) -> None:
    texts = {
        f"l{language}": {f"0-{text}": f"{language} {text}" for text in range(TEXTS)}
        for language in range(LANGUAGES)
    }
    embedder = RowEmbedder(embeddings)
    found = estimate_language_projection(texts, embedder, directions=2, shrinkage=0.5, progress=False)
    np.testing.assert_array_equal(found, language_projection(embeddings, directions=2, shrinkage=0.5))

    assert embedder.calls == 1
    with pytest.raises(UserError, match=r"projection\.directions=4"):
        estimate_language_projection(texts, embedder, directions=4)
    assert embedder.calls == 1
    embeddings[1, 2, 3] = np.nan
    with pytest.raises(UserError, match="NaN"):
        estimate_language_projection(texts, embedder, progress=False)
