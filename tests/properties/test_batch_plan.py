"""The batch plan: what every batch and every epoch have, and that nothing but seed and step decides it."""

import pickle

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.global_batch import GlobalBatch
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.strategies import BatchKind, HybridStrategy
from tests.properties.batch_plans import Drawn, plans
from tests.properties.profiles import EXAMPLES, THOROUGH, on
from tests.sampling.sources import LANGUAGES
from tests.sampling.sources import complete as complete_source

EPOCHS = 2
FIELDS = ("triples", "query_languages", "passage_languages")


def batches(plan: BatchPlan, epochs: int = EPOCHS) -> list[GlobalBatch]:
    """Those of some epochs; a plan may find only then that a batch cannot be filled, and says so."""
    found = []
    for step in range(epochs * plan.steps_per_epoch):
        try:
            found.append(plan[step])
        except UserError as error:
            if "too few different passages" not in str(error):
                raise
            break
    return found


def same(a: GlobalBatch, b: GlobalBatch) -> bool:
    return (
        (a.step, a.dataset, a.kind, a.repeated) == (b.step, b.dataset, b.kind, b.repeated)
        and all(np.array_equal(getattr(a, name), getattr(b, name)) for name in (*FIELDS,))
        and np.array_equal(a.row_datasets(), b.row_datasets())
    )


def check_languages(drawn: Drawn, plan: BatchPlan, batch: GlobalBatch) -> None:
    """Each text exists in its language, and the languages of the pairs are those of the batch's kind."""
    query, passage = batch.query_languages, batch.passage_languages
    for dataset, _, part in batch.by_dataset():
        source = drawn.sources[dataset]
        run = source.availability.run_of(part.triples)
        for row, (q, p) in enumerate(zip(part.query_languages, part.passage_languages, strict=True)):
            in_query, in_passage = plan.languages[q], plan.languages[p]
            assert source.availability.query[run[row], source.languages.index(in_query)]
            assert source.availability.passage[run[row], source.languages.index(in_passage)]
    match batch.kind:
        case BatchKind.MONOLINGUAL:
            assert len({*query.tolist(), *passage.tolist()}) == 1
        case BatchKind.MIXED:
            assert np.array_equal(query, passage)
        case BatchKind.CROSS_LINGUAL:
            assert (query != passage).all()
            rule = drawn.strategy.pair_rule
            if rule.pivot is not None:
                pivot = plan.languages.index(rule.pivot)
                sides = {"query": query == pivot, "passage": passage == pivot}
                sides["either"] = sides["query"] | sides["passage"]
                assert sides[rule.pivot_side].all()


@EXAMPLES
def test_every_batch_is_full_in_languages_that_its_texts_have_and_of_different_passages(
    examples: int,
) -> None:
    @on(examples)
    @given(plans())
    def holds(of: tuple[Drawn, BatchPlan]) -> None:
        drawn, plan = of
        for batch in batches(plan):
            assert len(batch) == drawn.batch
            assert batch.kind in drawn.strategy.kinds() or isinstance(drawn.strategy, HybridStrategy)
            for dataset, _, part in batch.by_dataset():
                positives = drawn.sources[dataset].positives(part.triples)
                assert len(np.unique(positives)) == len(positives)
            check_languages(drawn, plan, batch)

    holds()


@EXAMPLES
def test_every_row_is_in_each_epoch_exactly_once(examples: int) -> None:
    """On complete data sets, wherever no triple had to be drawn again."""

    @on(examples)
    @given(plans(complete=True))
    def holds(of: tuple[Drawn, BatchPlan]) -> None:
        drawn, plan = of
        found = batches(plan, 3)
        if any(batch.repeated for batch in found):
            return
        for dataset, source in enumerate(drawn.sources):
            if drawn.strategy.name == "en_en" and "en" not in source.languages:
                continue
            times, n = np.zeros(len(source), dtype=np.int64), len(source)
            for batch in found:
                times += np.bincount(batch.triples[batch.row_datasets() == dataset], minlength=n)
                whole = times.sum() // n  # epochs that have passed
                # A shared passage moves a triple to another batch of the window, at most an epoch away.
                early = source.passage_of is not None
                assert times.min() >= whole - early
                assert times.max() <= whole + 1 + early

    holds()


@EXAMPLES
def test_ranks_and_workers_see_one_plan(examples: int) -> None:
    """Slices of the ranks are the batch; a pickled plan read in any order gives the same batches."""

    @on(examples)
    @given(of=plans(), workers=st.integers(1, 3), data=st.data())
    def holds(of: tuple[Drawn, BatchPlan], workers: int, data: st.DataObject) -> None:
        drawn, plan = of
        found = batches(plan)
        for world in (1, 2, 3, 4):
            if drawn.batch % world:
                continue
            for batch in found[:5]:
                parts = [batch.rank_slice(rank, world) for rank in range(world)]
                for name in FIELDS:
                    joined = np.concatenate([getattr(part, name) for part in parts])
                    assert np.array_equal(joined, getattr(batch, name))
                assert np.array_equal(np.concatenate([part.rows for part in parts]), np.arange(len(batch)))
        for worker in range(workers):
            own = pickle.loads(pickle.dumps(plan if worker % 2 else drawn.plan()))
            steps = list(range(worker, len(found), workers))
            for step in data.draw(st.permutations(steps[-20:])):
                assert same(own[step], found[step])

    holds()


@EXAMPLES
def test_the_share_of_monolingual_batches_is_alpha(examples: int) -> None:
    """Each batch is a draw of its own: 400 of them within what a binomial gives in a billion plans."""

    @on(min(examples, THOROUGH // 5))
    @given(alpha=st.floats(0, 1), seed=st.integers(0, 2**63), sets=st.integers(1, 2), mix=st.booleans())
    def holds(alpha: float, seed: int, sets: int, mix: bool) -> None:
        of = [complete_source(200, LANGUAGES, f"set {i}") for i in range(sets)]
        plan = BatchPlan(of, HybridStrategy(alpha), LANGUAGES, 4, seed, mix_datasets=mix)
        monolingual = sum(plan[step].kind is BatchKind.MONOLINGUAL for step in range(400))
        assert binomtest(monolingual, 400, alpha).pvalue > 1e-9

    holds()
