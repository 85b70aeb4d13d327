"""Near duplicates against all pairs of texts."""

from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.data.cleaning import near_duplicates as module
from hybrid_retrieval.data.cleaning.grams import gram_length
from hybrid_retrieval.data.cleaning.near_duplicates import MISSED, PERMUTATIONS, banding, near_duplicates
from hybrid_retrieval.data.cleaning.shingles import WORDS, shingles
from hybrid_retrieval.sampling.triples import IntArray


def edited(count: int, seed: int) -> list[str]:
    """Texts of 40 to 80 words, each some edits away from an earlier one."""
    generator = np.random.default_rng(seed)
    texts = [
        [f"w{word}" for word in generator.integers(500, size=generator.integers(40, 80))] for _ in range(20)
    ]
    while len(texts) < count:
        text = list(texts[generator.integers(len(texts))])
        for _ in range(generator.integers(5)):
            text[generator.integers(len(text))] = f"w{generator.integers(500)}"
        texts.append(text)
    return [" ".join(text) for text in texts]


def chinese(text: str) -> str:
    """A text with a character in the place of each word."""
    return "".join(chr(0x4E00 + int(word[1:])) for word in text.split())


def grams(text: str, language: str) -> set[tuple[str, ...]]:
    units = list(text) if language == "zh" else text.split()
    size = gram_length("zh", WORDS) if language == "zh" else 5
    return {tuple(units[i : i + size]) for i in range(max(1, len(units) - size + 1))}


def similarities(texts: list[str], language: str) -> np.ndarray:
    sets = [grams(text, language) for text in texts]
    return np.array([[len(a & b) / len(a | b) for b in sets] for a in sets])


def found(texts: list[str], threshold: float, folder: Path, language: str = "en") -> list[int]:
    def batch(positions: IntArray) -> list[str]:
        return [texts[position] for position in positions]

    repeats = near_duplicates(batch, len(texts), threshold, folder, language)
    repeating = np.flatnonzero(repeats >= 0)
    assert (repeats[repeating] < repeating).all()
    assert (repeats[repeats[repeating]] < 0).all()  # what is repeated stays
    return repeating.tolist()


def greedy(similar: np.ndarray) -> list[int]:
    repeated: list[int] = []
    for text in range(len(similar)):
        earlier = [other for other in range(text) if other not in repeated]
        if any(similar[text, other] for other in earlier):
            repeated.append(text)
    return repeated


@pytest.mark.parametrize("threshold", [0.5, 0.8, 0.9, 1.0])
@pytest.mark.parametrize("language", ["en", "zh"])
def test_equals_all_pairs(
    threshold: float, language: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pair at the threshold is missed with a probability below 0.5 %, most are above it: here none is."""
    monkeypatch.setattr(module, "BATCH_ROWS", 64)
    texts = edited(300, seed=1)
    if language == "zh":
        texts = [chinese(text) for text in texts]
    expected = greedy(similarities(texts, language) >= threshold)
    assert 20 < len(expected) < 290
    assert found(texts, threshold, tmp_path, language) == expected
    assert not list(tmp_path.iterdir())


def test_what_stays_has_no_near_duplicates(tmp_path: Path) -> None:
    texts = edited(200, seed=2)
    repeated = set(found(texts, 0.7, tmp_path))
    assert not found([text for number, text in enumerate(texts) if number not in repeated], 0.7, tmp_path)


@pytest.mark.parametrize("threshold", [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0])
def test_recall_at_the_threshold(threshold: float) -> None:
    bands, rows = banding(threshold)
    assert bands * rows <= PERMUTATIONS
    assert (1 - threshold**rows) ** bands < MISSED < 0.01


@pytest.mark.parametrize(("size", "cut", "threshold"), [(40, 4, 0.8), (42, 2, 0.9)])
def test_measured_recall_of_pairs_at_the_threshold(
    size: int, cut: int, threshold: float, tmp_path: Path
) -> None:
    """3,000 pairs of similarity just above the threshold, of which 0.5 % may be missed: here at most 1 %."""
    texts: list[str] = []
    generator = np.random.default_rng(3)
    for pair in range(3000):
        words = [f"{pair}x{word}" for word in range(size)]
        noise = [f"n{generator.integers(10**9)}" for _ in range(cut)]
        texts += [" ".join(words), " ".join(words[:-cut] + noise)]
    similarity = similarities(texts[:2], "en")[0, 1]
    assert threshold <= similarity < threshold + 0.02
    assert len(found(texts, threshold, tmp_path)) >= 0.99 * 3000


def test_texts_without_words_repeat_nothing(tmp_path: Path) -> None:
    assert found(["?", "!", "...", "one", "One!"], 0.9, tmp_path) == [4]
    assert found([], 0.9, tmp_path) == found(["a"], 0.9, tmp_path) == []
    values, offsets = shingles(["", None, "a b", "a b c d e f"], "en")
    assert np.diff(offsets).tolist() == [0, 0, 1, 2]
    assert len(values) == 3
