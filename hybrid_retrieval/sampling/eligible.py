"""The triples of a data set that a strategy can use in the training languages."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.sampling.strategies import BatchKind
from hybrid_retrieval.sampling.triples import Availability, BoolArray, IntArray, TripleSource


class EligibleTriples:
    """A data set restricted to some languages and to the triples that some kind of batch can hold.

    Memory is proportional to the number of runs of equal availability, not to the number of triples.

    Args:
        source: the data set.
        languages: training languages, in the plan's order; those the source lacks have no triples.
        kinds: the kinds of batches that can occur.
        tau: exponent of the language weights.

    Attributes:
        language_counts: int64 (languages,), monolingual triples of each language.
        language_weights: float64 (languages,), counts^tau; 0 for a language without triples.
        has_cross: whether any triple has query and passage in two different languages.
    """

    def __init__(
        self, source: TripleSource, languages: Sequence[str], kinds: Sequence[BatchKind], tau: float
    ) -> None:
        stored = source.availability
        starts, runs = stored.starts, len(stored.starts) - 1
        query = np.zeros((runs, len(languages)), dtype=np.bool_)
        passage = np.zeros_like(query)
        for column, code in enumerate(languages):
            if code in source.languages:
                query[:, column] = stored.query[:, source.languages.index(code)]
                passage[:, column] = stored.passage[:, source.languages.index(code)]
        self._availability = Availability(starts, query, passage)
        cross, monolingual = self._availability.cross(), self._availability.both()
        usable = np.zeros(runs, dtype=np.bool_)
        for kind in kinds:
            usable |= cross if kind is BatchKind.CROSS_LINGUAL else monolingual.any(1)
        counts = self._availability.counts()
        self._runs = np.flatnonzero(usable)
        self._starts = np.concatenate([[0], np.cumsum(counts[self._runs])]).astype(np.int64)
        self.language_counts: IntArray = (monolingual * counts[:, None]).sum(0).astype(np.int64)
        reachable = ((query | passage) * counts[:, None]).sum(0) > 0
        self.language_weights: npt.NDArray[np.float64] = np.where(
            reachable, np.maximum(self.language_counts, 1).astype(np.float64) ** tau, 0.0
        )
        self.has_cross = bool(cross.any())
        self._cross, self._monolingual = cross, monolingual

    def __len__(self) -> int:
        return int(self._starts[-1])

    def triples(self, elements: IntArray) -> IntArray:
        """The triples at places [0, len) of the eligible ones."""
        run = np.searchsorted(self._starts, elements, side="right") - 1
        return np.asarray(
            self._availability.starts[self._runs[run]] + elements - self._starts[run], dtype=np.int64
        )

    def masks(self, triples: IntArray) -> tuple[BoolArray, BoolArray]:
        """Bool (n, languages) twice, writable: where the query exists, and where the passage does."""
        run = self._availability.run_of(triples)
        return self._availability.query[run], self._availability.passage[run]

    def suitability(self, triples: IntArray) -> tuple[BoolArray, BoolArray]:
        """Bool (n, languages), monolingual in the language; bool (n,), possible across languages."""
        run = self._availability.run_of(triples)
        return self._monolingual[run], self._cross[run]
