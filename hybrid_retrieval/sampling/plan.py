"""The batch plan: a pure function of (seed, step) that names every pair of every global batch."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.counter_random import stream_key, uniforms
from hybrid_retrieval.sampling.dataset_mixture import DatasetMixture
from hybrid_retrieval.sampling.eligible import EligibleTriples
from hybrid_retrieval.sampling.permutation import Permutation
from hybrid_retrieval.sampling.strategies import BatchKind, Strategy
from hybrid_retrieval.sampling.triples import BoolArray, IntArray, TripleSource
from hybrid_retrieval.sampling.window import Deal, Pool, Request, Windows, deal

_WINDOW_PAIRS = 1 << 16
_MAX_WINDOW_BATCHES = 64
_REFILL_TRIES = 64


@dataclass(frozen=True)
class GlobalBatch:
    """One global batch: the same on every rank, which takes its slice.

    Attributes:
        step: optimiser step, counted from 0.
        dataset: index of the data set all pairs come from.
        kind: how the languages relate.
        triples: int64 (batch,), no two with the same positive passage.
        query_languages: int64 (batch,), indices into `BatchPlan.languages`.
        passage_languages: int64 (batch,).
        repeated: how many triples stand here although their epoch had them elsewhere, because no fresh triple
            in the language, or with a passage of its own, was left; 0 on complete corpora.
    """

    step: int
    dataset: int
    kind: BatchKind
    triples: IntArray
    query_languages: IntArray
    passage_languages: IntArray
    repeated: int = 0

    def __len__(self) -> int:
        return len(self.triples)

    def rank_slice(self, rank: int, world_size: int) -> "GlobalBatch":
        """The pairs of one of `world_size` ranks; together the ranks have each pair once."""
        if len(self) % world_size:
            raise ValueError(f"{len(self)} pairs cannot be divided among {world_size} ranks")
        share = len(self) // world_size
        part = slice(rank * share, (rank + 1) * share)
        return GlobalBatch(
            self.step,
            self.dataset,
            self.kind,
            self.triples[part],
            self.query_languages[part],
            self.passage_languages[part],
            self.repeated,
        )


class BatchPlan:
    """Global batches for every step, without state: `plan[step]` depends on the arguments alone.

    Each data set is a stream of slots; slot s holds element `s mod n` of the permutation of epoch `s div n`,
    and batch k of the data set is its slots `k * B` to `(k + 1) * B`. So every epoch has each triple once,
    whatever the batch size, and no permutation is held in memory. Incomplete languages and shared passages
    are dealt with inside windows of about 64 batches (`window.deal`).

    Args:
        sources: the data sets.
        strategy: which kind of batch at which step, and which languages take part.
        languages: training languages; each must have data in some source.
        global_batch_size: pairs per optimiser step over all ranks.
        seed: equal seeds, equal plans.
        language_tau: languages are drawn in proportion to (number of triples)^tau; 0 is uniform.
        dataset_tau: data sets are drawn in proportion to (number of triples)^tau.

    Raises:
        UserError: the strategy cannot be carried out on this data; the message says why.
    """

    def __init__(
        self,
        sources: Sequence[TripleSource],
        strategy: Strategy,
        languages: Sequence[str],
        global_batch_size: int,
        seed: int,
        *,
        language_tau: float = 0.0,
        dataset_tau: float = 1.0,
    ) -> None:
        self.sources = list(sources)
        self.strategy = strategy
        self.languages = strategy.restrict(languages)
        self.global_batch_size = global_batch_size
        self.seed = seed
        self._eligible = [EligibleTriples(s, self.languages, strategy.kinds(), language_tau) for s in sources]
        self._check()
        sizes = [len(e) for e in self._eligible]
        self.triples_per_epoch = sum(sizes)
        self._mixture = DatasetMixture(sizes, dataset_tau, seed)
        target = max(1, min(_MAX_WINDOW_BATCHES, _WINDOW_PAIRS // global_batch_size))
        self._windows = [Windows(size, global_batch_size, target) for size in sizes]
        self._cache_windows()

    def _cache_windows(self) -> None:
        self._window = lru_cache(maxsize=2 * len(self.sources))(self._deal_window)

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_window"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._cache_windows()

    @property
    def steps_per_epoch(self) -> int:
        """Steps in which as many pairs are drawn as there are triples, rounded up."""
        return -(-self.triples_per_epoch // self.global_batch_size)

    def __getitem__(self, step: int) -> GlobalBatch:
        if step < 0:
            raise IndexError(step)
        dataset, index = self._mixture.locate(step)
        window = self._windows[dataset].holding(index)
        requests, pool, deals = self._window(dataset, window)
        offset = index - self._windows[dataset].start(window)
        kind, dealt = requests[offset].kind, deals[offset]
        triples = pool.triples[dealt.rows]
        repeated = self.global_batch_size - len(triples)
        if repeated:
            triples = self._refill(dataset, index, kind, dealt, triples)
        query, passage = self._draw_languages(dataset, index, kind, dealt.language, triples)
        return GlobalBatch(step, dataset, kind, triples, query, passage, repeated)

    def _deal_window(self, dataset: int, window: int) -> tuple[list[Request], Pool, list[Deal]]:
        eligible, size = self._eligible[dataset], self.global_batch_size
        cuts = self._windows[dataset]
        batches = np.arange(cuts.start(window), cuts.start(window + 1))
        slots = np.arange(batches[0] * size, (batches[-1] + 1) * size)
        epochs, positions = np.divmod(slots, len(eligible))
        elements = np.empty_like(positions)
        for epoch in np.unique(epochs):
            at = epochs == epoch
            order = Permutation(len(eligible), self.seed, self.sources[dataset].name, dataset, int(epoch))
            elements[at] = order(positions[at])
        triples = eligible.triples(elements)
        monolingual, cross = eligible.suitability(triples)
        pool = Pool(triples, epochs, self.sources[dataset].positives(triples), monolingual, cross)
        requests = [self._request(dataset, int(index)) for index in batches]
        return requests, pool, deal(pool, requests, size)

    def _request(self, dataset: int, index: int) -> Request:
        step = self._mixture.step_of(dataset, index)
        kind = self.strategy.kind(step, float(uniforms(stream_key(self.seed, "kind", dataset), index)))
        weights = self._eligible[dataset].language_weights
        u = uniforms(
            stream_key(self.seed, "language", dataset), index * len(weights) + np.arange(len(weights))
        )
        with np.errstate(divide="ignore"):
            # The order of u^(1/w) is weighted sampling without replacement (Efraimidis and Spirakis, 2006).
            keys = np.where(weights > 0, -np.log(u) / weights, np.inf)
        preference = [int(i) for i in np.argsort(keys, kind="stable") if weights[i] > 0]
        return Request(kind, preference or [0])

    def _refill(self, dataset: int, index: int, kind: BatchKind, dealt: Deal, triples: IntArray) -> IntArray:
        """Complete a batch with suitable triples drawn again from the whole data set."""
        eligible, source = self._eligible[dataset], self.sources[dataset]
        key = stream_key(self.seed, "refill", dataset, index)
        draw = max(1024, 4 * self.global_batch_size)
        for attempt in range(_REFILL_TRIES):
            u = uniforms(key, np.arange(attempt * draw, (attempt + 1) * draw))
            fresh = eligible.triples((u * len(eligible)).astype(np.int64))
            monolingual, cross = eligible.suitability(fresh)
            pool = Pool(fresh, np.zeros(draw, dtype=np.int64), source.positives(fresh), monolingual, cross)
            candidates = np.concatenate([triples, fresh[pool.suits(kind, dealt.language)]])
            _, first = np.unique(source.positives(candidates), return_index=True)
            triples = candidates[np.sort(first)][: self.global_batch_size]
            if len(triples) == self.global_batch_size:
                return triples
        language = f" in '{self.languages[dealt.language]}'" if kind is BatchKind.MONOLINGUAL else ""
        raise UserError(
            f"data set '{source.name}' has too few different passages{language} for a {kind} batch of "
            f"{self.global_batch_size} pairs: {len(triples)} were found. Lower global_batch_size."
        )

    def _draw_languages(
        self, dataset: int, index: int, kind: BatchKind, language: int, triples: IntArray
    ) -> tuple[IntArray, IntArray]:
        if kind is BatchKind.MONOLINGUAL:
            same = np.full(len(triples), language, dtype=np.int64)
            return same, same
        eligible = self._eligible[dataset]
        counters = index * self.global_batch_size + np.arange(len(triples))
        u_query = uniforms(stream_key(self.seed, "query language", dataset), counters)
        u_passage = uniforms(stream_key(self.seed, "passage language", dataset), counters)
        query_mask, passage_mask = eligible.masks(triples)
        weights = eligible.language_weights
        if kind is BatchKind.MIXED:
            same = _weighted_choice(query_mask & passage_mask, weights, u_query)
            return same, same
        # A query language is possible only where some other language has the passage.
        only = passage_mask.sum(1) == 1
        query = _weighted_choice(query_mask & ~(passage_mask & only[:, None]), weights, u_query)
        passage_mask[np.arange(len(triples)), query] = False
        return query, _weighted_choice(passage_mask, weights, u_passage)

    def _check(self) -> None:
        if self.global_batch_size < 2:
            raise UserError(
                f"global_batch_size={self.global_batch_size} leaves no in-batch negatives: use 2 or more."
            )
        for language in self.languages:
            if not any(
                language in s.languages and e.language_counts[self.languages.index(language)]
                for s, e in zip(self.sources, self._eligible, strict=True)
            ):
                names = ", ".join(f"'{s.name}' ({', '.join(s.languages)})" for s in self.sources)
                raise UserError(
                    f"training language '{language}' has no data in {names}. Remove it from data.languages."
                )
        for source, eligible in zip(self.sources, self._eligible, strict=True):
            self._check_source(source, eligible)

    def _check_source(self, source: TripleSource, eligible: EligibleTriples) -> None:
        has = [code for code in self.languages if code in source.languages]
        if BatchKind.CROSS_LINGUAL in self.strategy.kinds() and not eligible.has_cross:
            raise UserError(
                f"sampler={self.strategy.name} pairs a query with a passage in another language, but data "
                f"set '{source.name}' has no triple in two training languages (it has: "
                f"{', '.join(has) or 'none'}). "
                "Use sampler=x_x_mono, or add parallel languages to data.languages."
            )
        available = min(len(eligible), source.distinct_positives)
        if available < self.global_batch_size:
            raise UserError(
                f"global_batch_size={self.global_batch_size} is larger than data set '{source.name}', which "
                f"has {len(eligible)} usable training triples with {source.distinct_positives} different "
                "passages. "
                f"Use global_batch_size={available} or less, or more data."
            )
        if BatchKind.MONOLINGUAL in self.strategy.kinds() and (
            eligible.language_counts.max() < self.global_batch_size
        ):
            raise UserError(
                f"no language of data set '{source.name}' has the {self.global_batch_size} triples that a "
                f"monolingual batch needs. Use global_batch_size={int(eligible.language_counts.max())} "
                "or less."
            )


def _weighted_choice(
    mask: BoolArray, weights: npt.NDArray[np.float64], u: npt.NDArray[np.float64]
) -> IntArray:
    """Draw one allowed column for each row, in proportion to the columns' weights."""
    cumulative = np.cumsum(mask * weights, axis=1)
    return np.asarray((cumulative <= (u * cumulative[:, -1])[:, None]).sum(1), dtype=np.int64)
