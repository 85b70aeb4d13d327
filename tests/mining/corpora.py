"""A small corpus with gaps, an embedder of random vectors, and mining written as a plain loop."""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.mining.settings import MiningSettings
from tests.data.memory_reader import RowsByLanguage, opened, row

LANGUAGES = ("de", "en", "th")
DIMENSION = 8


@cache
def _vector(text: str) -> np.ndarray:
    seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big")
    vector = np.random.default_rng(seed).standard_normal(DIMENSION) + 0.4
    return np.asarray(vector / np.linalg.norm(vector), dtype=np.float32)


class RandomEmbedder:
    """A unit vector for each text of a kind, drawn by its hash; passages lean towards one direction."""

    name = "random"

    def __init__(self) -> None:
        self.calls: list[list[str]] = []

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: str, *, title: str | None = None
    ) -> np.ndarray:
        self.calls.append(list(ids))
        return np.stack([self.vector(kind, text) for text in texts])

    def vector(self, kind: str, text: str) -> np.ndarray:
        return _vector(f"{kind} {text}")

    def alone(self) -> tuple[Embedder, str]:
        raise NotImplementedError


def gappy(rows: int = 40) -> RowsByLanguage:
    """Rows of which each language lacks some; two rows share a passage, every fifth is validation."""
    made: RowsByLanguage = {}
    for number, language in enumerate(LANGUAGES):
        made[language] = [
            row(language, i, i - i % 2 if i < 10 else i, split="validation" if i % 5 == 4 else "train")
            for i in range(rows)
            if (i + number) % 4 or i == 0
        ]
    return made


def gappy_corpus(folder: Path) -> ParallelCorpus:
    return opened(gappy(), folder)["train"]


def text_of(corpus: ParallelCorpus, language: str, triple: int) -> str | None:
    try:
        return corpus.query_text(language, int(corpus.queries(np.array([triple]))[0]))
    except ValueError:
        return None


def by_plain_loop(corpus: ParallelCorpus, settings: MiningSettings) -> list[tuple[float, list[int]]]:
    """Score of the positive and the negatives of each triple, one number after another."""
    embedder = RandomEmbedder()
    everything = np.arange(len(corpus))
    if settings.candidates == "corpus":
        candidates = list(range(corpus.passage_count))
    else:
        candidates = sorted(set(corpus.positives(everything).tolist()))

    def score(triple: int, passage: int) -> float | None:
        cells = []
        for x in corpus.languages:
            for y in corpus.languages:
                wanted = {"monolingual": x == y, "cross_lingual": x != y, "multilingual": True}
                question, text = text_of(corpus, x, triple), corpus.passage_text(y, passage)
                if wanted[settings.setting] and question is not None and text is not None:
                    cells.append(float(embedder.vector("query", question) @ embedder.vector("passage", text)))
        if not cells:
            return None
        return max(cells) if settings.aggregate == "max" else sum(cells) / len(cells)

    result = []
    for triple, positive in enumerate(corpus.positives(everything).tolist()):
        own = score(triple, positive)
        assert own is not None
        scored = [(score(triple, p), p) for p in candidates if p != positive]
        ranked = sorted((-s, p) for s, p in scored if s is not None)[settings.range_min : settings.range_max]
        bounds = [
            own - settings.relative_margin * abs(own) if settings.relative_margin is not None else np.inf,
            own - settings.margin if settings.margin is not None else np.inf,
        ]
        greatest = np.inf if settings.max_score is None else settings.max_score
        left = [p for s, p in ranked if -s < min(bounds) and -s <= greatest]
        result.append((own, left[: settings.k]))
    return result
