from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index.estimate_language_shift import estimate_language_shift
from tests.data.memory_reader import SMALL, RowsByLanguage, opened, row

LANGUAGES = ("de", "en", "th")


class PassageEmbedder:
    """Embeds "de passage 3": the number as meaning, and the language's offset."""

    name = "passages"
    offsets = {"en": [0, 0, 1, 0], "de": [0, 0, 0, 2], "th": [0, 0, -1, 3]}  # noqa: RUF012

    def __init__(self) -> None:
        self.calls: list[tuple[list[str], list[str], str]] = []

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: str, *, title: str | None = None
    ) -> np.ndarray:
        self.calls.append((list(ids), list(texts), kind))
        words = [text.split() for text in texts]
        meaning = [[int(number), int(number) ** 2, 0, 0] for _, _, number in words]
        offsets = [self.offsets[language] for language, _, _ in words]
        return np.array(meaning, dtype=np.float32) + np.array(offsets, dtype=np.float32)


@pytest.fixture
def small(tmp_path: Path) -> ParallelCorpus:
    return opened(SMALL, tmp_path / "small")["train"]


def test_estimate_from_a_parallel_corpus(small: ParallelCorpus) -> None:
    embedder = PassageEmbedder()
    shift = estimate_language_shift([small], embedder, progress=False)
    assert (shift.pivot, shift.model, shift.renormalise) == ("en", "passages", True)
    assert shift.pairs == {"de": 3, "th": 2}
    np.testing.assert_array_equal(shift.offsets["de"], [0, 0, -1, 2])
    np.testing.assert_array_equal(shift.offsets["th"], [0, 0, -2, 3])
    [(ids, texts, kind)] = embedder.calls
    assert kind == "passage"
    assert len(set(ids)) == len(ids) == 3 + 3 + 2
    assert sorted(texts) == sorted(set(texts))


def test_limit_seed_and_languages(tmp_path: Path) -> None:
    rows: RowsByLanguage = {
        "en": [row("en", n) for n in range(60)],
        "de": [row("de", n) for n in range(60)],
        "th": [row("th", n) for n in range(20, 50)],
    }
    corpus = opened(rows, tmp_path / "corpus")["train"]

    def texts(**settings: object) -> list[str]:
        embedder = PassageEmbedder()
        estimate_language_shift([corpus], embedder, progress=False, **settings)  # type: ignore[arg-type]
        return embedder.calls[0][1]

    drawn = texts(pairs=10)
    by_language = {code: {text[2:] for text in drawn if text.startswith(code)} for code in LANGUAGES}
    assert [len(by_language[code]) for code in ("de", "th")] == [10, 10]
    assert by_language["en"] == by_language["de"] | by_language["th"]
    assert by_language["de"] & by_language["th"]
    assert drawn == texts(pairs=10)
    assert drawn != texts(pairs=10, seed=1)
    assert {text[:2] for text in texts(languages=["th", "en"])} == {"th", "en"}
    assert {text[:2] for text in texts(pairs=1_000, pivot="th", languages=["de"])} == {"de", "th"}
    assert len(texts(pairs=1_000, pivot="th", languages=["de"])) == 60


def test_several_corpora_share_the_pairs(small: ParallelCorpus, tmp_path: Path) -> None:
    other = opened({code: [row(code, n) for n in range(9)] for code in ("en", "de")}, tmp_path / "other")
    without_pivot = opened({code: [row(code, n) for n in range(9)] for code in ("th", "de")}, tmp_path / "no")
    embedder = PassageEmbedder()
    shift = estimate_language_shift(
        [small, without_pivot["train"], other["train"]], embedder, pairs=4, progress=False
    )
    assert shift.pairs == {"de": 4, "th": 2}
    np.testing.assert_array_equal(shift.offsets["de"], [0, 0, -1, 2])


def test_nothing_parallel_is_refused(small: ParallelCorpus) -> None:
    embedder = PassageEmbedder()
    with pytest.raises(UserError, match=r"language_shift\.pivot=fr is no language .* de, en, th"):
        estimate_language_shift([small], embedder, pivot="fr")
    with pytest.raises(UserError, match="no passage that is there in 'en' and in another"):
        estimate_language_shift([small], embedder, languages=["en", "fi"])
    with pytest.raises(UserError, match=r"language_shift\.pairs=0"):
        estimate_language_shift([small], embedder, pairs=0)
    assert not embedder.calls
