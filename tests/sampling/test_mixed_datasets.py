"""`mix_datasets`: batches with pairs of several data sets."""

import pickle
from collections.abc import Sequence
from types import SimpleNamespace

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
    HybridStrategy,
    Strategy,
    XXMonoStrategy,
    XXStrategy,
    XYStrategy,
)
from hybrid_retrieval.training.statistics import BatchStatistics
from tests.sampling.sources import LANGUAGES, STRATEGIES, ArraySource, complete, incomplete


def mixed(
    sources: Sequence[ArraySource], strategy: Strategy, batch: int = 20, seed: int = 1, **taus: float
) -> BatchPlan:
    languages = sorted({language for source in sources for language in source.languages})
    return BatchPlan(sources, strategy, languages, batch, seed, mix_datasets=True, **taus)


def own_triples(batches: Sequence[GlobalBatch], dataset: int) -> np.ndarray:
    return np.concatenate([b.triples[b.row_datasets() == dataset] for b in batches])


def counts_of(batches: Sequence[GlobalBatch], datasets: int) -> np.ndarray:
    return np.array([np.bincount(b.row_datasets(), minlength=datasets) for b in batches])


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(30, 120), min_size=2, max_size=4),
    batch=st.integers(2, 24),
    seed=st.integers(0, 2**32),
    strategy=st.sampled_from([*STRATEGIES, HybridStrategy(Linear(1.0, 0.0, 30), {"set 0": 0.25})]),
    tau=st.sampled_from([0.0, 0.5, 1.0]),
    narrow=st.booleans(),
)
def test_every_epoch_of_every_data_set_has_each_triple_once(  # noqa: PLR0917 - one a drawn value
    sizes: list[int], batch: int, seed: int, strategy: Strategy, tau: float, narrow: bool
) -> None:
    sources = [
        complete(n, LANGUAGES[1:4] if narrow and i else LANGUAGES, f"set {i}") for i, n in enumerate(sizes)
    ]
    plan = mixed(sources, strategy, batch, seed, dataset_tau=tau)
    batches = [plan[step] for step in range(3 * plan.steps_per_epoch)]
    assert all(len(b) == batch for b in batches)
    # In one plan of 2,000 of this size, the last triples of an epoch are left to batches that have them
    # already from the next epoch, and the batch takes others in their place.
    if repeated := sum(b.repeated for b in batches):
        assert repeated <= 2
        return
    for dataset, n in enumerate(sizes):
        stream = own_triples(batches, dataset)
        ends = np.cumsum([(b.row_datasets() == dataset).sum() for b in batches])
        # After every batch each triple has been seen as often as there were whole epochs, or once more.
        for end in ends:
            seen = np.bincount(stream[:end], minlength=n)
            epochs, rest = divmod(int(end), n)
            assert set(seen) <= {epochs, epochs + 1}
            assert (seen == epochs + 1).sum() == rest


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_a_mixed_plan_is_a_pure_function_of_seed_and_step(strategy: Strategy) -> None:
    def make(seed: int = 1) -> BatchPlan:
        return mixed([complete(300, LANGUAGES, "a"), incomplete(200, LANGUAGES, 0.7, 3)], strategy, seed=seed)

    forward = make()
    batches = [forward[step] for step in range(130)]
    fresh, copied = make(), pickle.loads(pickle.dumps(forward))
    for step in (129, 3, 77, 0, 63, 64, 128):
        for plan in (fresh, copied):
            again = plan[step]
            for name in ("triples", "query_languages", "passage_languages", "datasets"):
                assert np.array_equal(getattr(again, name), getattr(batches[step], name))
            assert (again.kind, again.repeated, again.dataset) == (
                batches[step].kind,
                batches[step].repeated,
                None,
            )
    other = make(seed=2)
    assert any(not np.array_equal(other[step].triples, batches[step].triples) for step in range(5))


def test_a_far_step_needs_no_steps_before_it() -> None:
    sources = [complete(3_000_000, LANGUAGES, "a"), complete(1_000_000, LANGUAGES, "b")]
    near, far = (mixed(sources, HybridStrategy(0.5), 64) for _ in range(2))
    for step in range(9990, 10_000):
        _ = near[step]
    assert np.array_equal(far[9_999].triples, near[9_999].triples)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_a_batch_is_pure_in_kind_and_mixed_in_data_sets(strategy: Strategy) -> None:
    sources = [complete(400, LANGUAGES, "a"), complete(300, LANGUAGES, "b"), complete(300, LANGUAGES, "c")]
    plan = mixed(sources, strategy)
    batches = [plan[step] for step in range(100)]
    for batch in batches:
        if batch.kind is BatchKind.MONOLINGUAL:
            assert len(np.unique([batch.query_languages, batch.passage_languages])) == 1
        elif batch.kind is BatchKind.CROSS_LINGUAL:
            assert (batch.query_languages != batch.passage_languages).all()
        else:
            assert np.array_equal(batch.query_languages, batch.passage_languages)
    counts = counts_of(batches, 3)
    assert set(counts[:, 0]) == {8}
    assert set(counts[:, 1]) == {6}
    # Not data set after data set, or a rank would have one alone.
    assert all((np.diff(b.row_datasets()) != 0).sum() > 2 for b in batches)


@pytest.mark.parametrize(("tau", "weights"), [(0.0, (1, 1, 1)), (0.5, (2, 1, 3)), (1.0, (4, 1, 9))])
def test_shares_follow_size_to_the_tau(tau: float, weights: tuple[int, ...]) -> None:
    sources = [complete(100 * n, LANGUAGES, f"set {n}") for n in (4, 1, 9)]
    plan = mixed(sources, HybridStrategy(0.5), 17, dataset_tau=tau)
    counts = counts_of([plan[step] for step in range(300)], 3)
    mean = 17 * np.array(weights) / sum(weights)
    assert (np.abs(counts - mean) < 1).all()
    assert counts.mean(0) == pytest.approx(mean, abs=0.15)


def test_a_language_that_one_data_set_lacks_is_left_to_the_others() -> None:
    sources = [complete(600, ("de", "en", "fr"), "wide"), complete(400, ("de", "en"), "narrow")]
    plan = mixed(sources, XXMonoStrategy(), 20)
    batches = [plan[step] for step in range(600)]
    languages = np.array([plan.languages[b.query_languages[0]] for b in batches])
    counts = counts_of(batches, 2)
    assert (counts[languages == "fr"] == [20, 0]).all()
    # Of the pairs, 0.6 * (1/3 fr + 1/3 de + 1/3 en) and 0.4 * (1/2 de + 1/2 en): 0.2 fr, 0.4 de, 0.4 en.
    observed = [(languages == code).sum() for code in ("fr", "de", "en")]
    assert chisquare(observed, [120, 240, 240]).pvalue > 1e-4
    assert (counts[languages != "fr"] == [10, 10]).all()
    assert counts.mean(0) == pytest.approx([12, 8], abs=0.7)


def test_alpha_per_data_set_holds_for_its_pairs() -> None:
    sources = [complete(500, LANGUAGES, "faq"), complete(500, LANGUAGES, "facts")]
    plan = mixed(sources, HybridStrategy(0.75, {"faq": 0.25}), 16)
    batches = [plan[step] for step in range(1000)]
    kinds = np.array([b.kind is BatchKind.MONOLINGUAL for b in batches])
    assert binomtest(int(kinds.sum()), 1000, 0.5).pvalue > 1e-4
    counts = counts_of(batches, 2)
    # Monolingual: 0.5 * 0.25 against 0.5 * 0.75.
    assert (counts[kinds] == [4, 12]).all()
    assert (counts[~kinds] == [12, 4]).all()


def test_a_data_set_in_one_language_takes_part_in_monolingual_batches_alone() -> None:
    sources = [complete(600, LANGUAGES, "parallel"), complete(200, ("en",), "english")]
    plan = mixed(sources, HybridStrategy(0.5), 20)
    assert plan.notes == [
        "data set 'english' has no cross-lingual pair to draw: all its batches are monolingual"
    ]
    batches = [plan[step] for step in range(800)]
    english = LANGUAGES.index("en")
    counts = counts_of(batches, 2)
    for batch, (_, count) in zip(batches, counts, strict=True):
        has_english = batch.kind is BatchKind.MONOLINGUAL and batch.query_languages[0] == english
        assert (count > 0) == has_english
    # 0.25 of the pairs, and its pairs are all monolingual.
    assert counts[:, 1].mean() == pytest.approx(5, abs=0.6)
    kinds = np.array([b.kind is BatchKind.MONOLINGUAL for b in batches])
    assert counts[kinds, 0].sum() / counts[:, 0].sum() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_shared_passages_of_a_data_set_never_meet(strategy: Strategy) -> None:
    passage_of = np.random.default_rng(0).integers(0, 120, 600)
    sources = [
        complete(600, LANGUAGES, "shared", passage_of),
        complete(400, LANGUAGES, "b", np.arange(400) // 4),
    ]
    plan = mixed(sources, strategy, 20)
    batches = [plan[step] for step in range(3 * plan.steps_per_epoch)]
    for batch in batches:
        for dataset, at, part in batch.by_dataset():
            positives = sources[dataset].positives(batch.triples[at])
            assert len(np.unique(positives)) == len(at) == len(part)
            assert np.array_equal(part.triples, batch.triples[at])
    assert sum(b.repeated for b in batches) <= 2


@pytest.mark.parametrize("strategy", STRATEGIES, ids=lambda s: s.name)
def test_incomplete_languages_are_respected(strategy: Strategy) -> None:
    sources = [incomplete(1500, LANGUAGES, 0.6, 5), incomplete(900, LANGUAGES, 0.8, 6)]
    plan = mixed(sources, strategy, 24)
    columns = [LANGUAGES.index(code) for code in plan.languages]
    batches = [plan[step] for step in range(2 * plan.steps_per_epoch)]
    for batch in batches:
        for dataset, at, _ in batch.by_dataset():
            mask = sources[dataset].availability.query[batch.triples[at]][:, columns]
            rows = np.arange(len(at))
            assert mask[rows, batch.query_languages[at]].all()
            assert mask[rows, batch.passage_languages[at]].all()
            assert len(np.unique(batch.triples[at])) == len(at)
    assert sum(b.repeated for b in batches) <= 0.02 * 24 * len(batches)


def test_scarce_languages_do_not_cost_an_epoch_its_triples() -> None:
    # One in fifteen triples has zh; a uniform draw of languages asks for it in one batch of three.
    mask = np.ones((2, 3), dtype=bool)
    mask[1, 2] = False
    source = complete(1500, ("de", "en", "zh"), "scarce")
    sources = [
        ArraySource(
            "scarce", source.languages, type(source.availability)(np.array([0, 100, 1500]), mask, mask)
        ),
        complete(1000, ("de", "en", "zh"), "full"),
    ]
    plan = mixed(sources, XXMonoStrategy(), 20)
    batches = [plan[step] for step in range(4 * plan.steps_per_epoch)]
    assert sum(b.repeated for b in batches) <= 0.01 * 20 * len(batches)
    assert len(np.unique(own_triples(batches, 0))) == 1500


@pytest.mark.parametrize("world", [1, 2, 4])
def test_ranks_share_the_batch_and_know_its_rows(world: int) -> None:
    plan = mixed([complete(100, LANGUAGES, "a"), complete(100, LANGUAGES, "b")], HybridStrategy(0.5))
    for step in range(10):
        whole = plan[step]
        parts = [whole.rank_slice(rank, world) for rank in range(world)]
        for name in ("triples", "query_languages", "passage_languages", "datasets", "rows"):
            assert np.array_equal(np.concatenate([getattr(p, name) for p in parts]), getattr(whole, name))
        for part in parts:
            again = np.full(len(part), -1)
            for dataset, at, own in part.by_dataset():
                assert own.dataset == dataset
                assert np.array_equal(own.rows, part.rows[at])
                again[at] = own.triples
            assert np.array_equal(again, part.triples)


def test_one_data_set_alone_is_what_it_is_without_mixing() -> None:
    source = complete(300, LANGUAGES)
    plain = BatchPlan([source], HybridStrategy(0.5), LANGUAGES, 10, 4)
    alone = mixed([source], HybridStrategy(0.5), 10, 4)
    assert all(np.array_equal(plain[s].triples, alone[s].triples) for s in range(50))
    assert alone[0].dataset == 0


def test_impossible_mixtures_are_refused() -> None:
    large, tiny = complete(500, LANGUAGES, "large"), complete(9, LANGUAGES, "tiny")
    with pytest.raises(UserError, match=r"up to 10 pairs from data set 'tiny', which has 9 .*dataset_tau"):
        mixed([large, tiny], XXStrategy(), 20, dataset_tau=0.0)
    with pytest.raises(UserError, match=r"no language of data set 'tiny' .*at most 9"):
        mixed([large, tiny], XXMonoStrategy(), 20, dataset_tau=0.0)
    with pytest.raises(UserError, match=r"data set 'english' has no triple in two"):
        mixed([large, complete(100, ("en",), "english")], XYStrategy(), 20)
    assert len(mixed([large, tiny], XXMonoStrategy(), 20)[0]) == 20


def test_languages_follow_size_to_the_tau_over_all_data_sets() -> None:
    nested = np.ones((2, 2), dtype=bool)
    nested[1, 1] = False
    source = complete(1600, ("de", "en"), "nested")
    nested_source = ArraySource(
        "nested", ("de", "en"), type(source.availability)(np.array([0, 400, 1600]), nested, nested)
    )
    plan = mixed(
        [nested_source, complete(1600, ("de", "en"), "full")], XXMonoStrategy(), 16, language_tau=1.0
    )
    english = sum(int(plan[step].query_languages[0]) for step in range(500))
    # Half the pairs are nested, of which 400 / 2000 are English, and half full, of which 1/2 are.
    assert binomtest(english, 500, 0.5 * 0.2 + 0.5 * 0.5).pvalue > 1e-4


@pytest.mark.parametrize("mix", [False, True])
def test_the_pairs_of_each_data_set_are_counted(mix: bool) -> None:
    sources = [complete(300, LANGUAGES, "a"), complete(100, LANGUAGES, "b")]
    plan = BatchPlan(sources, HybridStrategy(0.5), LANGUAGES, 10, 1, mix_datasets=mix)
    statistics = BatchStatistics(plan, 1)
    statistics.on_train_start(SimpleNamespace(global_step=40), None)  # type: ignore[arg-type]
    counts = counts_of([plan[step] for step in range(40)], 2).sum(0)
    totals = statistics.totals()
    assert [totals[f"train/data_set_pairs/{name}"] for name in "ab"] == counts.tolist()
    assert sum(n for name, n in totals.items() if name.startswith("train/pairs/")) == counts.sum() == 400


def test_the_expected_share_of_monolingual_batches_is_that_of_all_data_sets() -> None:
    sources = [complete(300, LANGUAGES, "a"), complete(100, ("en",), "b")]
    for mix in (False, True):
        plan = BatchPlan(sources, HybridStrategy(0.2), LANGUAGES, 10, 1, mix_datasets=mix)
        assert plan.monolingual_share(5) == pytest.approx(0.75 * 0.2 + 0.25)
