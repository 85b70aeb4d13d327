"""From a planned batch to tensors: the right texts in the right order, whatever the chunks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_retrieval.data.collate import Collator, EncodedTexts
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.models.token_batch import TokenBatch
from hybrid_retrieval.sampling.plan import BatchPlan, GlobalBatch
from hybrid_retrieval.sampling.strategies import STRATEGIES, BatchKind
from tests.losses import dual_encoder_parts as parts

TEXTS = ["a", "", "a long text of many words " * 9, "two words", "東京は日本の首都です", "b", "middle " * 5]


@pytest.fixture(scope="module")
def encoder(prepared: Path) -> TextEncoder:
    return TextEncoder.from_folder(prepare_tiny(prepared), name="tiny")


@pytest.fixture(scope="module")
def corpus(prepared: Path) -> ParallelCorpus:
    return parts.corpus(prepared)


def decoded(texts: EncodedTexts) -> list[list[int]]:
    """Token ids in text order."""
    rows = [row.tolist() for row in torch.split(texts.sequences.tokens, list(texts.sequences.lengths))]
    return [rows[i] for i in texts.order.tolist()]


def test_texts_are_kept_longest_first_with_their_order(encoder: TextEncoder) -> None:
    texts = EncodedTexts.of(encoder.tokenizer(TEXTS, "passage"), 40)

    sequences = encoder.tokenizer(TEXTS, "passage")
    assert decoded(texts) == sequences
    assert len(texts) == len(TEXTS)
    assert texts.tokens == sum(map(len, sequences))
    assert texts.sequences.lengths == tuple(sorted(map(len, sequences), reverse=True))
    assert texts.token_budget == 40


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("budget", [1, 40, 100, 100_000])
def test_embeddings_of_chunks_equal_one_padded_batch(
    prepared: Path, encoder: TextEncoder, budget: int, packed: bool
) -> None:
    model = parts.dual_encoder(prepared, local_loss=True).eval()
    model.encoder.packed = packed
    batches = list[TokenBatch]()
    model.encoder.register_forward_pre_hook(lambda _, inputs: batches.append(inputs[0]))
    with torch.no_grad():
        chunked = model.embed(EncodedTexts.of(encoder.tokenizer(TEXTS, "query"), budget))
        padded = TokenBatch.of(encoder.tokenizer(TEXTS, "query")).padded(encoder.tokenizer.pad_id)
        whole = encoder(*padded)

    torch.testing.assert_close(chunked, whole, atol=1e-6, rtol=0)
    sizes = [sum(b.lengths) if packed else len(b) * max(b.lengths) for b in batches]
    assert all(size <= budget or len(b) == 1 for size, b in zip(sizes, batches, strict=True))
    lengths = [length for batch in batches for length in batch.lengths]
    assert model.encoder.computed_tokens(lengths, budget) == sum(sizes)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batch_is_what_the_plan_names(
    prepared: Path, encoder: TextEncoder, corpus: ParallelCorpus, strategy: str
) -> None:
    plan = BatchPlan([corpus], STRATEGIES[strategy](), parts.LANGUAGES, parts.BATCH, seed=2)
    collate = Collator([corpus], plan.languages, encoder.tokenizer, hard_negatives=2, token_budget=64)
    for step in range(4):
        planned, batch = plan[step], collate(plan[step])

        questions, passages, ids = [], [], []
        for i, triple in enumerate(planned.triples):
            one = np.array([triple])
            language = plan.languages[planned.query_languages[i]]
            questions.append(corpus.query_text(language, int(corpus.queries(one)[0])))
            ids.append(int(corpus.positives(one)[0]))
        codes = [plan.languages[i] for i in planned.passage_languages]
        passages = [corpus.passage_text(code, p) for code, p in zip(codes, ids, strict=True)]
        for code, own in zip(codes, corpus.negatives(planned.triples, 2).tolist(), strict=True):
            passages += [corpus.passage_text(code, p) if p >= 0 else "" for p in own]
            ids += own
        assert decoded(batch.queries) == encoder.tokenizer(questions, "query")
        assert decoded(batch.passages) == encoder.tokenizer([p or "" for p in passages], "passage")
        assert batch.ids.passage.tolist() == ids
        assert batch.ids.positive.tolist() == ids[: parts.BATCH]
        assert batch.ids.query.tolist() == corpus.queries(planned.triples).tolist()
        assert -1 in ids
        assert batch.step == step
        assert batch.monolingual == (planned.query_languages == planned.passage_languages).all()


def test_ranks_together_are_the_global_batch(prepared: Path, encoder: TextEncoder) -> None:
    plan, collate = parts.plan(prepared), parts.collator(prepared)
    whole = collate(plan[3])
    shares = [collate(plan[3].rank_slice(rank, 4)) for rank in range(4)]

    assert torch.equal(torch.cat([share.ids.positive for share in shares]), whole.ids.positive)
    assert torch.equal(torch.cat([share.ids.query for share in shares]), whole.ids.query)
    assert [ids for share in shares for ids in decoded(share.queries)] == decoded(whole.queries)


def test_hard_negative_that_a_language_lacks_is_left_out(tmp_path: Path, encoder: TextEncoder) -> None:
    from tests.data.memory_reader import opened, row  # noqa: PLC0415

    rows = {
        "de": [row("de", 0, negatives=("p1",)), row("de", 2)],
        "en": [row("en", 0, negatives=("p1",)), row("en", 1), row("en", 2)],
    }
    corpus = opened(rows, tmp_path / "corpus")["train"]
    triple = next(t for t in range(len(corpus)) if corpus.row_ids(np.array([t])) == ["r0"])
    collate = Collator([corpus], ("de", "en"), encoder.tokenizer, hard_negatives=1)
    languages = {code: np.array([i]) for i, code in enumerate(("de", "en"))}

    found = {
        code: collate(
            GlobalBatch(0, 0, BatchKind.MONOLINGUAL, np.array([triple]), index, index)
        ).ids.passage.tolist()
        for code, index in languages.items()
    }
    assert found["de"][1] == -1
    assert found["en"][1] >= 0
    assert found["de"][0] == found["en"][0]
