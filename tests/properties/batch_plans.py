"""Drawn plans: data sets complete or not, with or without shared passages, and strategies of every kind."""

from dataclasses import dataclass

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.pairs import PairRule
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.schedules import Linear
from hybrid_retrieval.sampling.strategies import (
    EnEnStrategy,
    HybridStrategy,
    Strategy,
    XXMonoStrategy,
    XXStrategy,
    XYStrategy,
)
from hybrid_retrieval.sampling.triples import Availability
from tests.sampling.sources import LANGUAGES, ArraySource


@dataclass(frozen=True)
class Drawn:
    """The arguments of a plan."""

    sources: list[ArraySource]
    strategy: Strategy
    languages: list[str]
    batch: int
    seed: int
    mix: bool
    taus: tuple[float, float]

    def plan(self) -> BatchPlan:
        """A new plan of these arguments."""
        language_tau, dataset_tau = self.taus
        return BatchPlan(
            self.sources,
            self.strategy,
            self.languages,
            self.batch,
            self.seed,
            language_tau=language_tau,
            dataset_tau=dataset_tau,
            mix_datasets=self.mix,
        )


@st.composite
def sources(draw: st.DrawFn, name: str, *, complete: bool) -> ArraySource:
    """A data set of 8 to 150 triples in two to five languages."""
    own = tuple(sorted(draw(st.sets(st.sampled_from(LANGUAGES), min_size=2))))
    generator = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(8, 150))
    if complete:
        starts, query = np.array([0, n]), np.ones((1, len(own)), dtype=np.bool_)
        passage = query.copy()
    else:
        runs = draw(st.integers(1, n))
        cuts = np.sort(generator.choice(np.arange(1, n), runs - 1, replace=False)) if runs > 1 else []
        starts = np.array([0, *cuts, n])
        presence = draw(st.sampled_from([0.5, 0.9]))
        query, passage = (generator.random((runs, len(own))) < presence for _ in range(2))
    shared = draw(st.sampled_from([None, None, 2, 5]))
    passage_of = None if shared is None else generator.integers(0, max(1, n // shared), n)
    return ArraySource(name, own, Availability(starts.astype(np.int64), query, passage), passage_of)


ALPHAS = st.floats(0, 1) | st.builds(Linear, st.floats(0, 1), st.floats(0, 1), st.integers(1, 60))
RULES = st.builds(PairRule, st.sampled_from([None, "en"]), st.just("either")) | st.sampled_from(
    [PairRule("en", "query"), PairRule("en", "passage")]
)
STRATEGIES: st.SearchStrategy[Strategy] = st.one_of(
    st.sampled_from([EnEnStrategy(), XXStrategy(), XXMonoStrategy()]),
    st.builds(XYStrategy, RULES),
    st.builds(HybridStrategy, ALPHAS, pairs=RULES),
)


@st.composite
def plans(draw: st.DrawFn, *, complete: bool = False) -> tuple[Drawn, BatchPlan]:
    """A plan that can be carried out, with its arguments."""
    count = draw(st.integers(1, 3))
    of = [draw(sources(f"set {i}", complete=complete)) for i in range(count)]
    drawn = Drawn(
        of,
        draw(STRATEGIES),
        sorted({code for source in of for code in source.languages}),
        draw(st.sampled_from([2, 3, 4, 8, 12])),
        draw(st.integers(0, 2**63)),
        draw(st.booleans()),
        (draw(st.sampled_from([0.0, 0.5, 1.0])), draw(st.sampled_from([0.0, 1.0]))),
    )
    try:
        return drawn, drawn.plan()
    except UserError:
        assume(False)
        raise
