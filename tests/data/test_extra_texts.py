"""Further texts of a batch: translations of the pairs and the teacher's, whatever the ranks and restarts."""

import pickle
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.data.collate import Collator, EncodedTexts
from hybrid_retrieval.data.extra_texts import Extra, ExtraTexts, other_languages
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.token_store import TokenizedTexts, TokenSource, prepare_tokens
from hybrid_retrieval.losses.terms.registry import EXTRAS, TEACHER
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer
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


@pytest.fixture(scope="module")
def read_in_english(tmp_path_factory: pytest.TempPathFactory) -> ParallelCorpus:
    """English lacks r2 and passage 2; German lacks passage 4. r0 has two hard negatives, r1 has one."""
    negatives = {0: ("p2", "p4"), 1: ("p0",)}
    rows = {
        language: [row(language, i, negatives=negatives.get(i, ())) for i in numbers]
        for language, numbers in {"de": (0, 1, 2), "en": (0, 1, 4), "th": (0,)}.items()
    }
    return opened(rows, tmp_path_factory.mktemp("read") / "corpus")["train"]


def pairs_of(corpus: ParallelCorpus, pairs: list[tuple[str, int, int]]) -> GlobalBatch:
    """Pairs by row, language of the query and language of the passage."""
    at = {corpus.row_ids(np.array([t]))[0]: t for t in range(len(corpus))}
    queries, passages = (np.array([pair[i] for pair in pairs]) for i in (1, 2))
    triples = np.array([at[pair[0]] for pair in pairs])
    return GlobalBatch(0, 0, BatchKind.CROSS_LINGUAL, triples, queries, passages)


def another(tokenizer: TextTokenizer) -> TextTokenizer:
    """Other prefixes and lengths, and so other tokens."""
    prefixes: dict[TextKind, str] = {"query": "Frage: ", "passage": "Text: "}
    return TextTokenizer(tokenizer.hf_tokenizer, prefixes, {"query": 30, "passage": 25})


@pytest.mark.parametrize("kept", [False, True], ids=["tokenised at every look-up", "tokenised once"])
@pytest.mark.parametrize("other_tokenizer", [False, True])
def test_the_teacher_reads_its_language_where_texts_are_there_in_it(
    read_in_english: ParallelCorpus, collate: Collator, tmp_path: Path, kept: bool, other_tokenizer: bool
) -> None:
    """What is not there in English is read in its own language, and what is nowhere is empty."""
    corpus, k, tokenizer = read_in_english, 2, collate.tokenizer
    batch = pairs_of(corpus, [("r0", 0, 2), ("r1", 0, 0), ("r2", 0, 0), ("r0", 1, 0)])
    tokens: TokenSource = TokenizedTexts(tokenizer)
    if kept:
        tokens = prepare_tokens([corpus], parts.LANGUAGES, tokenizer, tmp_path, progress=False)
    own = TokenizedTexts(another(tokenizer)) if other_tokenizer else None
    extra = ExtraTexts(
        TEACHER,
        [corpus],
        parts.LANGUAGES,
        tokens=tokens,
        seed=1,
        teacher=own,
        teacher_language="en",
        hard_negatives=k,
    )
    made = Collator(
        [corpus],
        parts.LANGUAGES,
        tokenizer,
        hard_negatives=k,
        token_budget=64,
        extra=pickle.loads(pickle.dumps(extra)),
        tokens=tokens,
    )(batch)

    # Rows r0, r1, r2, r0; then two hard negatives of each: passages 2 and 4, 0, none, 2 and 4.
    queries = ["en question 0", "en question 1", "de question 2", "en question 0"]
    passages = ["en passage 0", "en passage 1", "de passage 2", "en passage 0"]
    hard = [["", "en passage 4"], ["en passage 0", ""], ["", ""], ["de passage 2", "en passage 4"]]
    read_by = another(tokenizer) if other_tokenizer else tokenizer
    expected: dict[str, list[list[int]]] = {
        "teacher_queries": read_by(queries, "query"),
        "teacher_passages": read_by([*passages, *(text for texts in hard for text in texts)], "passage"),
    }
    assert made.extra.keys() == expected.keys()
    for name, sequences in expected.items():
        texts = EncodedTexts.of(sequences, 64)
        assert made.extra[name].sequences.lengths == texts.sequences.lengths
        assert made.extra[name].sequences.tokens.equal(texts.sequences.tokens)
        assert made.extra[name].order.equal(texts.order)
    # The student reads what it read without a teacher.
    plain = Collator([corpus], parts.LANGUAGES, tokenizer, hard_negatives=k, token_budget=64)(batch)
    assert made.queries.sequences.tokens.equal(plain.queries.sequences.tokens)
    assert made.passages.sequences.tokens.equal(plain.passages.sequences.tokens)
    assert made.ids.passage.equal(plain.ids.passage)
    # Passage 4 is no passage of a German pair: an empty one stands for it, which takes part in no term.
    assert made.ids.passage[[5, 7, 8, 9, 11]].tolist() == [-1] * 5


@pytest.mark.parametrize("language", [None, "en", "th"])
def test_ranks_together_have_the_teachers_texts_of_the_global_batch(
    prepared: Path, collate: Collator, language: str | None
) -> None:
    batch, tokens = parts.plan(prepared)[1], TokenizedTexts(collate.tokenizer)
    extra = ExtraTexts(
        TEACHER,
        collate.corpora,
        parts.LANGUAGES,
        tokens=tokens,
        seed=1,
        teacher=TokenizedTexts(another(collate.tokenizer)),
        teacher_language=language,
        hard_negatives=parts.HARD_NEGATIVES,
    )

    whole, halves = lists(extra(batch)), [lists(extra(batch.rank_slice(rank, 2))) for rank in (0, 1)]

    half = len(batch) // 2
    assert halves[0]["teacher_queries"] + halves[1]["teacher_queries"] == whole["teacher_queries"]
    passages = [share["teacher_passages"] for share in halves]
    positives, negatives = (
        [s for share in passages for s in share[cut]] for cut in (slice(half), slice(half, None))
    )
    assert positives + negatives == whole["teacher_passages"]


def test_a_language_that_a_data_set_lacks_changes_nothing_there(
    prepared: Path, collate: Collator, tmp_path: Path
) -> None:
    """One data set has English, the other has not; each stands in the rows of its pairs."""
    german = opened({"de": [row("de", 0)], "th": [row("th", 0)]}, tmp_path / "corpus")["train"]
    both, tokens = [parts.corpus(prepared), german], TokenizedTexts(collate.tokenizer)
    de, datasets = np.zeros(4, dtype=np.int64), np.array([1, 0, 0, 1])
    batch = GlobalBatch(2, None, BatchKind.MONOLINGUAL, np.array([0, 5, 3, 0]), de, de, datasets=datasets)
    extra = ExtraTexts(TEACHER, both, parts.LANGUAGES, tokens=tokens, seed=1, teacher_language="en")

    found = lists(extra(batch))

    for name, kind, ids_of in (
        ("teacher_queries", "query", ParallelCorpus.queries),
        ("teacher_passages", "passage", ParallelCorpus.positives),
    ):
        expected = []
        for dataset, triple in zip(datasets, batch.triples, strict=True):
            corpus, code = both[dataset], "de" if dataset else "en"
            text = tokens(corpus, kind, [code], ids_of(corpus, np.array([triple])))[0]  # type: ignore[arg-type]
            assert text is not None
            expected.append(text.tolist())
        assert found[name] == expected


def test_without_a_language_a_teacher_of_the_same_tokens_reads_the_batch(
    prepared: Path, collate: Collator
) -> None:
    """Nothing is looked up for it, and nothing where no term has a teacher."""
    batch, tokens = parts.plan(prepared)[0], TokenizedTexts(collate.tokenizer)
    options = {"tokens": tokens, "seed": 5, "hard_negatives": parts.HARD_NEGATIVES}

    default = ExtraTexts(TEACHER, collate.corpora, parts.LANGUAGES, **options)  # type: ignore[arg-type]
    unused = ExtraTexts(
        ["parallel_queries"],
        collate.corpora,
        parts.LANGUAGES,
        teacher_language="en",
        **options,  # type: ignore[arg-type]
    )

    assert lists(default(batch)) == {}
    assert lists(unused(batch)).keys() == {"parallel_queries"}
