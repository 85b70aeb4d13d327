"""Triple sources made of arrays, for tests of the plan."""

from dataclasses import dataclass, field

import numpy as np

from hybrid_retrieval.sampling.strategies import (
    EnEnStrategy,
    HybridStrategy,
    Strategy,
    XXMonoStrategy,
    XXStrategy,
    XYStrategy,
)
from hybrid_retrieval.sampling.triples import Availability, IntArray

LANGUAGES = ("ar", "de", "en", "es", "zh")
STRATEGIES: list[Strategy] = [
    EnEnStrategy(),
    XXStrategy(),
    XXMonoStrategy(),
    XYStrategy(),
    HybridStrategy(0.5),
]


@dataclass
class ArraySource:
    name: str
    languages: tuple[str, ...]
    availability: Availability
    passage_of: IntArray | None = None
    distinct_positives: int = field(init=False)

    def __post_init__(self) -> None:
        n = len(self)
        self.distinct_positives = n if self.passage_of is None else len(np.unique(self.passage_of))

    def __len__(self) -> int:
        return int(self.availability.starts[-1])

    def positives(self, triples: IntArray) -> IntArray:
        return triples if self.passage_of is None else self.passage_of[triples]


def complete(
    n: int, languages: tuple[str, ...], name: str = "complete", passage_of: IntArray | None = None
) -> ArraySource:
    everywhere = np.ones((1, len(languages)), dtype=np.bool_)
    return ArraySource(
        name, languages, Availability(np.array([0, n]), everywhere, everywhere.copy()), passage_of
    )


def incomplete(
    n: int, languages: tuple[str, ...], presence: float, seed: int, passage_of: IntArray | None = None
) -> ArraySource:
    """Each triple exists in a random set of languages, at least two of them; one run a triple."""
    mask = np.random.default_rng(seed).random((n, len(languages))) < presence
    mask[:, :2] |= mask.sum(1, keepdims=True) < 2
    return ArraySource("incomplete", languages, Availability(np.arange(n + 1), mask, mask.copy()), passage_of)
