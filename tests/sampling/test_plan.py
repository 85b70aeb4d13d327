import tracemalloc
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest, chisquare

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.plan import BatchPlan, GlobalBatch
from hybrid_retrieval.sampling.schedules import Linear
from hybrid_retrieval.sampling.strategies import (
    BatchKind,
    EnEnStrategy,
    HybridStrategy,
    Strategy,
    XXMonoStrategy,
    XXStrategy,
    XYStrategy,
)
from tests.sampling.sources import LANGUAGES, STRATEGIES, ArraySource, complete, incomplete


def plan_over(
    source: ArraySource, strategy: Strategy, batch: int = 8, seed: int = 1, *, language_tau: float = 0.0
) -> BatchPlan:
    return BatchPlan([source], strategy, source.languages, batch, seed, language_tau=language_tau)


def same(a: GlobalBatch, b: GlobalBatch) -> bool:
    return (a.step, a.dataset, a.kind) == (b.step, b.dataset, b.kind) and all(
        np.array_equal(getattr(a, f), getattr(b, f))
        for f in ("triples", "query_languages", "passage_languages")
    )


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
@pytest.mark.parametrize("source", [complete(500, LANGUAGES), incomplete(500, LANGUAGES, 0.7, 3)])
def test_a_plan_is_a_pure_function_of_seed_and_step(strategy: Strategy, source: ArraySource) -> None:
    forward = plan_over(source, strategy)
    batches = [forward[step] for step in range(150)]
    fresh = plan_over(source, strategy)
    for step in (149, 3, 77, 0, 63, 64, 128):
        assert same(fresh[step], batches[step])
    other_seed = plan_over(source, strategy, seed=2)
    assert not all(same(other_seed[step], batches[step]) for step in range(20))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_ranks_of_every_world_size_share_the_same_global_batch(strategy: Strategy) -> None:
    plan = plan_over(complete(100, LANGUAGES), strategy)
    for step in range(30):
        whole = plan[step]
        for world in (1, 2, 4):
            parts = [plan[step].rank_slice(rank, world) for rank in range(world)]
            for name in ("triples", "query_languages", "passage_languages"):
                assert np.array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))
            assert {p.kind for p in parts} == {whole.kind}


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(16, 300),
    batch=st.integers(2, 16),
    seed=st.integers(0, 2**32),
    strategy=st.sampled_from(STRATEGIES),
)
def test_every_epoch_has_each_triple_once(n: int, batch: int, seed: int, strategy: Strategy) -> None:
    plan = plan_over(complete(n, LANGUAGES), strategy, batch, seed)
    epochs = 3
    stream = np.concatenate([plan[step].triples for step in range(-(-epochs * n // batch))])
    for epoch in range(epochs):
        assert np.array_equal(np.sort(stream[epoch * n : (epoch + 1) * n]), np.arange(n))
    assert plan.steps_per_epoch == -(-n // batch)


def test_two_epochs_have_different_orders() -> None:
    plan = plan_over(complete(64, LANGUAGES), XXMonoStrategy())
    stream = np.concatenate([plan[step].triples for step in range(16)])
    assert not np.array_equal(stream[:64], stream[64:])


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_shared_passages_never_meet_in_a_batch_and_no_triple_is_lost(strategy: Strategy) -> None:
    n, batch = 600, 12
    passage_of = np.random.default_rng(0).integers(0, 120, n)
    plan = plan_over(complete(n, LANGUAGES, passage_of=passage_of), strategy, batch)
    stream = []
    for step in range(2 * n // batch):
        drawn = plan[step]
        assert len(np.unique(passage_of[drawn.triples])) == batch
        assert drawn.repeated == 0
        stream.append(drawn.triples)
    flat = np.concatenate(stream)
    for epoch in range(2):
        assert np.array_equal(np.sort(flat[epoch * n : (epoch + 1) * n]), np.arange(n))


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_incomplete_languages_are_respected(strategy: Strategy) -> None:
    source = incomplete(2000, LANGUAGES, 0.6, 5)
    plan = plan_over(source, strategy, 16)
    columns = [LANGUAGES.index(code) for code in plan.languages]
    repeated, seen = 0, []
    for step in range(2 * plan.steps_per_epoch):
        drawn = plan[step]
        mask = source.availability.query[drawn.triples][:, columns]
        rows = np.arange(len(drawn))
        assert mask[rows, drawn.query_languages].all()
        assert mask[rows, drawn.passage_languages].all()
        if drawn.kind is BatchKind.MONOLINGUAL:
            assert len(np.unique(drawn.query_languages)) == 1
        if drawn.kind is BatchKind.CROSS_LINGUAL:
            assert (drawn.query_languages != drawn.passage_languages).all()
        else:
            assert np.array_equal(drawn.query_languages, drawn.passage_languages)
        repeated += drawn.repeated
        seen.append(drawn.triples)
    first_epoch = np.concatenate(seen)[: plan.triples_per_epoch]
    assert repeated <= 0.02 * plan.triples_per_epoch
    assert len(np.unique(first_epoch)) >= 0.98 * plan.triples_per_epoch


def test_x_y_never_pairs_a_language_with_itself_and_draws_ordered_pairs_uniformly() -> None:
    plan = plan_over(complete(5000, LANGUAGES), XYStrategy(), 50)
    pairs = np.zeros((5, 5), dtype=int)
    for step in range(200):
        np.add.at(pairs, (plan[step].query_languages, plan[step].passage_languages), 1)
    assert np.trace(pairs) == 0
    assert chisquare(pairs[~np.eye(5, dtype=bool)]).pvalue > 1e-4


def test_x_x_mono_draws_languages_uniformly_and_x_x_mixes_them() -> None:
    mono = plan_over(complete(5000, LANGUAGES), XXMonoStrategy(), 10)
    languages = [int(mono[step].query_languages[0]) for step in range(1000)]
    assert chisquare(np.bincount(languages, minlength=5)).pvalue > 1e-4
    mixed = plan_over(complete(5000, LANGUAGES), XXStrategy(), 10)
    assert np.mean([len(np.unique(mixed[step].query_languages)) for step in range(50)]) > 3


@pytest.mark.parametrize("alpha", [0.0, 0.25, 0.5, 0.9, 1.0])
def test_share_of_monolingual_batches_is_alpha(alpha: float) -> None:
    plan = plan_over(complete(1000, LANGUAGES), HybridStrategy(alpha), 4)
    monolingual = sum(plan[step].kind is BatchKind.MONOLINGUAL for step in range(2000))
    assert binomtest(monolingual, 2000, alpha).pvalue > 1e-4


def test_a_scheduled_alpha_moves_the_share() -> None:
    plan = plan_over(complete(1000, LANGUAGES), HybridStrategy(Linear(1.0, 0.0, 1000)), 4)
    kinds = [plan[step].kind is BatchKind.MONOLINGUAL for step in range(1200)]
    assert np.mean(kinds[:200]) > 0.8
    assert not any(kinds[1000:])


def test_data_sets_are_drawn_in_proportion_to_size_and_each_has_its_own_epochs() -> None:
    sources = [complete(300, LANGUAGES, "large"), complete(100, LANGUAGES, "small")]
    plan = BatchPlan(sources, HybridStrategy(0.5), LANGUAGES, 10, 7)
    batches = [plan[step] for step in range(400)]
    drawn = [batch.dataset for batch in batches]
    assert binomtest(drawn.count(1), 400, 0.25).pvalue > 1e-4
    for dataset, n in enumerate((300, 100)):
        stream = np.concatenate([b.triples for b in batches if b.dataset == dataset])
        for epoch in range(len(stream) // n):
            assert np.array_equal(np.sort(stream[epoch * n : (epoch + 1) * n]), np.arange(n))
    flat = BatchPlan(sources, HybridStrategy(0.5), LANGUAGES, 10, 7, dataset_tau=0.0)
    assert binomtest(sum(flat[s].dataset == 1 for s in range(400)), 400, 0.5).pvalue > 1e-4


def test_language_tau_one_draws_languages_by_size() -> None:
    mask = np.zeros((2, 2), dtype=bool)
    mask[0] = True
    mask[1, 0] = True
    source = complete(4000, ("de", "en"))
    source.availability.query.resize((2, 2), refcheck=False)
    source = ArraySource("s", ("de", "en"), type(source.availability)(np.array([0, 1000, 4000]), mask, mask))
    plan = plan_over(source, XXMonoStrategy(), 8, language_tau=1.0)
    english = sum(int(plan[step].query_languages[0]) for step in range(400))
    assert binomtest(english, 400, 0.2).pvalue > 1e-4


def test_forty_million_triples_in_constant_memory() -> None:
    tracemalloc.start()
    plan = plan_over(complete(40_000_000, LANGUAGES), HybridStrategy(0.5), 100)
    first, late = plan[0], plan[123_456_789]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(first) == len(late) == 100
    assert peak < 32e6


@pytest.mark.parametrize(
    ("source", "strategy", "batch", "languages", "words"),
    [
        (complete(50, ("de",)), XYStrategy(), 8, ("de",), "in another language"),
        (complete(50, ("de",)), HybridStrategy(0.5), 8, ("de",), "x_x_mono"),
        (complete(50, LANGUAGES), XXMonoStrategy(), 51, LANGUAGES, "global_batch_size=50 or less"),
        (complete(50, LANGUAGES), XXMonoStrategy(), 1, LANGUAGES, "in-batch negatives"),
        (complete(50, LANGUAGES), XXMonoStrategy(), 8, (*LANGUAGES, "fi"), "'fi' has no data"),
        (complete(50, ("de", "es")), EnEnStrategy(), 8, ("de", "es"), "'en'"),
        (
            complete(50, LANGUAGES, passage_of=np.arange(50) // 10),
            XXMonoStrategy(),
            8,
            LANGUAGES,
            "different passages",
        ),
    ],
)
def test_impossible_plans_are_refused_with_the_reason(
    source: ArraySource, strategy: Strategy, batch: int, languages: Sequence[str], words: str
) -> None:
    with pytest.raises(UserError, match=words):
        BatchPlan([source], strategy, languages, batch, 1)


@pytest.mark.parametrize("mix_datasets", [False, True])
def test_a_data_set_of_which_nothing_can_be_used_is_named_with_the_way_out(mix_datasets: bool) -> None:
    sources = [complete(50, LANGUAGES, "all"), complete(50, ("de", "es"), "no-english")]
    with pytest.raises(UserError, match=r"'no-english'.* in one of en\. .*data\.leave_out=no-english"):
        BatchPlan(sources, EnEnStrategy(), LANGUAGES, 8, 1, mix_datasets=mix_datasets)


@pytest.mark.parametrize("alpha", [-0.1, 1.5, "half", True, float("nan")])
def test_alpha_outside_the_unit_interval_is_refused(alpha: float) -> None:
    with pytest.raises(UserError, match=r"sampler\.alpha"):
        HybridStrategy(alpha)
