"""The batch plan: a pure function of (seed, step) that names every pair of every global batch."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.check_plan import (
    check_languages,
    check_names,
    check_pairs,
    check_size,
    check_usable,
    notes,
)
from hybrid_retrieval.sampling.counter_random import hash64, stream_key, uniforms
from hybrid_retrieval.sampling.eligible import EligibleTriples
from hybrid_retrieval.sampling.global_batch import GlobalBatch
from hybrid_retrieval.sampling.mixed_steps import MixedSteps
from hybrid_retrieval.sampling.permutation import Permutation
from hybrid_retrieval.sampling.separate_steps import SeparateSteps
from hybrid_retrieval.sampling.strategies import BatchKind, Strategy
from hybrid_retrieval.sampling.triples import IntArray, TripleSource
from hybrid_retrieval.sampling.window import Deal, Pool, Request, Share, deal

__all__ = ["BatchPlan", "GlobalBatch"]

_WINDOW_PAIRS = 1 << 16
_MAX_WINDOW_BATCHES = 64
_REFILL_TRIES = 64


class BatchPlan:
    """Global batches for every step, without state: `plan[step]` depends on the arguments alone.

    Each data set is a stream of slots; slot s holds element `s mod n` of the permutation of epoch `s div n`,
    and each batch takes the next slots of one data set (`SeparateSteps`) or of all (`MixedSteps`). So every
    epoch has each triple once, whatever the batch size, and no permutation is held in memory. Incomplete
    languages and shared passages are dealt with inside windows of about 64 batches (`window.deal`).

    Args:
        sources: the data sets.
        strategy: which kind of batch at which step, and which languages take part.
        languages: training languages; each must have data in some source.
        global_batch_size: pairs per optimiser step over all ranks.
        seed: equal seeds, equal plans.
        language_tau: languages are drawn in proportion to (number of triples)^tau; 0 is uniform.
        dataset_tau: data sets are drawn in proportion to (number of triples)^tau.
        mix_datasets: whether a batch has pairs of all data sets, in proportion to (number of triples)^tau,
            or of one that is drawn for it.

    Attributes:
        notes: what the plan does that its options do not say, one sentence each.

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
        mix_datasets: bool = False,
    ) -> None:
        if global_batch_size < 2:
            raise UserError(
                f"global_batch_size={global_batch_size} leaves no in-batch negatives: use 2 or more."
            )
        self.sources = list(sources)
        self.strategy = strategy
        self.languages = strategy.restrict(languages)
        self.global_batch_size = global_batch_size
        self.seed = seed
        self.mixed = mix_datasets and len(self.sources) > 1
        check_names(strategy, sources)
        self._eligible = [EligibleTriples(s, self.languages, strategy, language_tau) for s in sources]
        check_languages(sources, self._eligible, self.languages)
        check_pairs(strategy, sources, self._eligible, self.languages)
        check_usable(strategy, sources, self._eligible, self.languages)
        self.notes = notes(strategy, sources, self._eligible)
        self.triples_per_epoch = sum(len(e) for e in self._eligible)
        target = max(1, min(_MAX_WINDOW_BATCHES, _WINDOW_PAIRS // global_batch_size))
        self._steps: SeparateSteps | MixedSteps
        if self.mixed:
            self._steps = MixedSteps(
                sources, self._eligible, global_batch_size, tau=dataset_tau, seed=seed, target=target
            )
        else:
            for source, eligible in zip(sources, self._eligible, strict=True):
                check_size(source, eligible, global_batch_size)
            self._steps = SeparateSteps(
                self._eligible, global_batch_size, tau=dataset_tau, seed=seed, target=target
            )
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

    def monolingual_share(self, step: int) -> float:
        """Probability that the batch at `step` is in one language, over all data sets."""
        return self._steps.monolingual_share(step)

    def __getitem__(self, step: int) -> GlobalBatch:
        if step < 0:
            raise IndexError(step)
        window, offset = self._steps.locate(step)
        requests, pool, deals = self._window(window)
        request, dealt = requests[offset], deals[offset]
        triples = pool.triples[dealt.rows]
        repeated = self.global_batch_size - len(triples)
        if not self.mixed:
            (share,) = request.shares
            arrays = self._share(request, share, dealt.language, triples)
            return GlobalBatch(step, share.dataset, request.kind, *arrays, repeated)
        owners = pool.strata[dealt.rows] % len(self.sources)
        parts = [
            self._share(request, share, dealt.language, triples[owners == share.dataset])
            for share in request.shares
        ]
        triples, query, passage = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        datasets = np.repeat([s.dataset for s in request.shares], [s.count for s in request.shares])
        # So that no rank has the pairs of one data set alone.
        order = np.argsort(hash64(stream_key(self.seed, "mixed", "order", step), np.arange(len(triples))))
        return GlobalBatch(
            step, None, request.kind, triples[order], query[order], passage[order], repeated, datasets[order]
        )

    def _deal_window(self, window: Any) -> tuple[list[Request], Pool, list[Deal]]:
        requests = self._steps.requests(window)
        shares = [share for request in requests for share in request.shares]
        owners = np.repeat([s.dataset for s in shares], [s.count for s in shares])
        size, count = len(owners), len(self.sources)
        triples, strata, positives = (np.empty(size, dtype=np.int64) for _ in range(3))
        monolingual = np.empty((size, len(self.languages)), dtype=np.bool_)
        cross = np.empty(size, dtype=np.bool_)
        for dataset in np.unique(owners).tolist():
            at, eligible = owners == dataset, self._eligible[dataset]
            first = next(s.first for s in shares if s.dataset == dataset)
            slots = np.arange(first, first + at.sum())
            epochs, positions = np.divmod(slots, len(eligible))
            own = eligible.triples(self._elements(dataset, epochs, positions))
            triples[at], strata[at] = own, epochs * count + dataset
            positives[at] = self.sources[dataset].positives(own) * count + dataset
            monolingual[at], cross[at] = eligible.suitability(own)
        pool = Pool(triples, strata, positives, monolingual, cross)
        return requests, pool, deal(pool, requests, self.global_batch_size)

    def _elements(self, dataset: int, epochs: IntArray, positions: IntArray) -> IntArray:
        """What the permutations of the epochs have at the positions."""
        n, name = len(self._eligible[dataset]), self.sources[dataset].name
        elements = np.empty_like(positions)
        for epoch in np.unique(epochs):
            at = epochs == epoch
            elements[at] = Permutation(n, self.seed, name, dataset, int(epoch))(positions[at])
        return elements

    def _share(
        self, request: Request, share: Share, language: int, triples: IntArray
    ) -> tuple[IntArray, IntArray, IntArray]:
        """A data set's triples of a batch, completed, with their query and passage languages."""
        if len(triples) < share.count:
            triples = self._refill(request, share, language, triples)
        if request.kind is BatchKind.MONOLINGUAL:
            same = np.full(share.count, language, dtype=np.int64)
            return triples, same, same
        eligible, counters = self._eligible[share.dataset], share.first + np.arange(share.count)
        u_query = uniforms(stream_key(self.seed, "query language", share.dataset), counters)
        if request.kind is BatchKind.MIXED:
            same = eligible.shared_languages(triples, u_query)
            return triples, same, same
        u_passage = uniforms(stream_key(self.seed, "passage language", share.dataset), counters)
        return triples, *eligible.crossed_languages(triples, u_query, u_passage)

    def _refill(self, request: Request, share: Share, language: int, triples: IntArray) -> IntArray:
        """Complete a data set's share with suitable triples drawn again from the whole data set."""
        eligible, source = self._eligible[share.dataset], self.sources[share.dataset]
        key = stream_key(self.seed, "refill", share.dataset, request.number)
        draw = max(1024, 4 * self.global_batch_size)
        for attempt in range(_REFILL_TRIES):
            u = uniforms(key, np.arange(attempt * draw, (attempt + 1) * draw))
            fresh = eligible.triples((u * len(eligible)).astype(np.int64))
            monolingual, cross = eligible.suitability(fresh)
            pool = Pool(fresh, np.zeros(draw, dtype=np.int64), source.positives(fresh), monolingual, cross)
            candidates = np.concatenate([triples, fresh[pool.suits(request.kind, language)]])
            _, first = np.unique(source.positives(candidates), return_index=True)
            triples = candidates[np.sort(first)][: share.count]
            if len(triples) == share.count:
                return triples
        where = f" in '{self.languages[language]}'" if request.kind is BatchKind.MONOLINGUAL else ""
        raise UserError(
            f"data set '{source.name}' has too few different passages{where} for {share.count} pairs of a "
            f"{request.kind} batch: {len(triples)} were found. Lower global_batch_size."
        )
