"""Further texts of a batch: translations of the pairs, whatever the ranks, workers and restarts."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.data.collate import Collator
from hybrid_retrieval.data.extra_texts import Extra, ExtraTexts, other_languages
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.token_store import TokenizedTexts
from hybrid_retrieval.losses.terms.registry import EXTRAS
from hybrid_retrieval.sampling.counter_random import uniforms
from hybrid_retrieval.sampling.global_batch import GlobalBatch
from hybrid_retrieval.sampling.strategies import BatchKind
from tests.data.memory_reader import opened, row
from tests.losses import dual_encoder_parts as parts

TEXTS = {"parallel_queries", "parallel_passages", "salient_passages", "passage_remainders"}
TEXTS |= {"teacher_queries", "teacher_passages"}


@pytest.fixture(scope="module")
def collate(prepared: Path) -> Collator:
    return parts.collator(prepared, terms=True)


@pytest.fixture(scope="module")
def extra(collate: Collator) -> ExtraTexts:
    assert collate.extra is not None
    return collate.extra


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> ParallelCorpus:
    """r0 in three languages; r1 in two; r2 in one; the passage of r3 in two, its query in one."""
    rows = {
        "de": [row("de", 0), row("de", 1), row("de", 3)],
        "en": [row("en", 0), row("en", 1), row("en", 2)],
        "th": [row("th", 0)],
    }
    return opened(rows, tmp_path_factory.mktemp("uneven") / "corpus")["train"]


def lists(found: Extra) -> dict[str, list[list[int]]]:
    return {name: [s.tolist() for s in sequences] for name, sequences in found.sequences.items()}


@pytest.mark.parametrize("step", range(4))
def test_parallel_texts_are_the_same_texts_in_another_language(
    prepared: Path, extra: ExtraTexts, step: int
) -> None:
    batch, corpus = parts.plan(prepared)[step], parts.corpus(prepared)
    found = extra(batch)

    for name, kind, own in (
        ("parallel_queries", "query", batch.query_languages),
        ("parallel_passages", "passage", batch.passage_languages),
    ):
        for i, tokens in enumerate(found.sequences[name]):
            one = batch.triples[[i]]
            ids = corpus.queries(one) if kind == "query" else corpus.positives(one)
            others = [code for j, code in enumerate(parts.LANGUAGES) if j != own[i]]
            texts = [extra.tokens(corpus, kind, [code], ids)[0] for code in others]  # type: ignore[arg-type]
            assert any(t is not None and tokens.tolist() == t.tolist() for t in texts)
        assert found.translated[name] == 1


def test_ranks_together_have_the_texts_of_the_global_batch(prepared: Path, extra: ExtraTexts) -> None:
    """In the order of the ranks, passages of a teacher but for the place of their hard negatives."""
    batch, k = parts.plan(prepared)[3], parts.HARD_NEGATIVES
    whole = lists(extra(batch))
    assert whole.keys() == TEXTS

    for world in (1, 2, 4):
        shares = [lists(extra(batch.rank_slice(rank, world))) for rank in range(world)]
        for name in TEXTS - {"teacher_passages"}:
            assert [s for share in shares for s in share[name]] == whole[name]
        own = len(batch) // world
        teachers = [share["teacher_passages"] for share in shares]
        positives = [s for share in teachers for s in share[:own]]
        assert positives + [s for share in teachers for s in share[own:]] == whole["teacher_passages"]
        assert all(len(share) == own * (1 + k) for share in teachers)


def test_draws_depend_on_seed_step_and_row_alone(prepared: Path, extra: ExtraTexts) -> None:
    plan = parts.plan(prepared)
    copy: ExtraTexts = pickle.loads(pickle.dumps(extra))
    for step in (5, 0, 2):  # in any order, as after a restart
        assert lists(copy(plan[step])) == lists(extra(plan[step]))
    other = ExtraTexts(
        extra.needs, extra.corpora, extra.languages, tokens=extra.tokens, seed=6, views=extra.views
    )
    assert lists(other(plan[0]))["parallel_queries"] != lists(extra(plan[0]))["parallel_queries"]


def test_every_other_language_is_drawn_equally_often(uneven: ParallelCorpus) -> None:
    triple = next(t for t in range(len(uneven)) if uneven.row_ids(np.array([t])) == ["r0"])
    own = np.zeros(6000, dtype=np.int64)
    u = uniforms(np.uint64(1), np.arange(6000))

    found = other_languages(uneven, ("de", "en", "th"), np.full(6000, triple), "query", own=own, u=u)

    counts = Counter(found.tolist())
    assert counts.keys() == {1, 2}
    assert abs(counts[1] - 3000) < 200  # five standard deviations


def test_a_text_without_translation_stands_for_itself(uneven: ParallelCorpus) -> None:
    at = {uneven.row_ids(np.array([t]))[0]: t for t in range(len(uneven))}
    triples = np.array([at["r1"], at["r1"], at["r2"], at["r3"]])
    own, u = np.array([0, 1, 1, 0]), np.array([0.99, 0.01, 0.5, 0.5])

    found = other_languages(uneven, ("de", "en", "th"), triples, "query", own=own, u=u)

    assert found.tolist() == [1, 0, 1, 0]
    # The data set has Thai, the run does not train on it.
    here = np.array([at["r0"]])
    for value in (0.01, 0.99):
        drawn = other_languages(uneven, ("de", "en"), here, "passage", own=np.array([0]), u=np.array([value]))
        assert drawn.tolist() == [1]


def test_the_share_of_translated_rows_is_counted(uneven: ParallelCorpus, collate: Collator) -> None:
    at = {uneven.row_ids(np.array([t]))[0]: t for t in range(len(uneven))}
    languages = np.array([1, 1, 1])
    triples = np.array([at["r0"], at["r1"], at["r2"]])
    batch = GlobalBatch(0, 0, BatchKind.MONOLINGUAL, triples, languages, languages)
    tokens = TokenizedTexts(collate.tokenizer)
    extra = ExtraTexts(EXTRAS, [uneven], ("de", "en", "th"), tokens=tokens, seed=1)

    found = extra(batch)

    assert found.translated == {"parallel_queries": pytest.approx(2 / 3), "parallel_passages": 2 / 3}
    itself = tokens(uneven, "query", ["en"], uneven.queries(triples[2:]))[0]
    assert itself is not None
    assert found.sequences["parallel_queries"][2].tolist() == itself.tolist()


def test_texts_of_several_data_sets_stand_in_the_rows_of_their_pairs(
    prepared: Path, uneven: ParallelCorpus, collate: Collator
) -> None:
    both = [parts.corpus(prepared), uneven]
    at = {uneven.row_ids(np.array([t]))[0]: t for t in range(len(uneven))}
    triples, datasets = np.array([3, at["r0"], 5, at["r1"]]), np.array([0, 1, 0, 1])
    languages = np.ones(4, dtype=np.int64)
    mixed = GlobalBatch(2, None, BatchKind.MONOLINGUAL, triples, languages, languages, datasets=datasets)
    tokens = TokenizedTexts(collate.tokenizer)
    options = {"tokens": tokens, "seed": 1, "teacher": tokens, "hard_negatives": 2}
    extra = ExtraTexts(EXTRAS, both, parts.LANGUAGES, **options)  # type: ignore[arg-type]

    whole = extra(mixed)
    found = lists(whole)
    assert whole.translated == {"parallel_queries": 1.0, "parallel_passages": 1.0}

    for dataset, rows, pairs in mixed.by_dataset():
        part = lists(extra(pairs))
        for name in ("parallel_queries", "parallel_passages", "teacher_queries"):
            assert [found[name][row] for row in rows] == part[name]
        places = [*rows, *(4 + 2 * row + j for row in rows for j in range(2))]
        assert [found["teacher_passages"][place] for place in places] == part["teacher_passages"]
        assert dataset in (0, 1)
    assert len(found["teacher_passages"]) == 12


def test_only_what_is_needed_is_looked_up(prepared: Path, extra: ExtraTexts) -> None:
    batch = parts.plan(prepared)[0]
    one = ExtraTexts(
        ["passage_remainders", "query_languages"],
        extra.corpora,
        extra.languages,
        tokens=extra.tokens,
        seed=5,
        views=extra.views,
    )

    assert lists(one(batch)) == {"passage_remainders": lists(extra(batch))["passage_remainders"]}
    assert parts.collator(prepared)(batch).extra == {}
