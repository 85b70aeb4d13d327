"""From a planned batch to tensors: the right texts in the right order, whatever the chunks."""

from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_retrieval.data.collate import Collator, EncodedTexts, encode_chunks
from hybrid_retrieval.data.length_buckets import pad
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.sampling.plan import BatchPlan, GlobalBatch
from hybrid_retrieval.sampling.strategies import STRATEGIES, BatchKind
from tests.losses import dual_encoder_parts as parts

TEXTS = ["a", "", "a long text of many words " * 9, "two words", "東京は日本の首都です", "b", "middle " * 5]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("parts")
    parts.prepare(made)
    return made


@pytest.fixture(scope="module")
def encoder(folder: Path) -> TextEncoder:
    return TextEncoder.from_folder(prepare_tiny(folder), name="tiny")


@pytest.fixture(scope="module")
def corpus(folder: Path) -> ParallelCorpus:
    return parts.corpus(folder)


def decoded(encoder: TextEncoder, texts: EncodedTexts) -> list[list[int]]:
    """Token ids in text order, without padding."""
    rows = [
        ids[mask.bool()].tolist()
        for chunk, masks in texts.chunks
        for ids, mask in zip(chunk, masks, strict=True)
    ]
    return [rows[i] for i in texts.order.tolist()]


@pytest.mark.parametrize("budget", [1, 40, 100, 100_000])
def test_chunks_hold_every_text_in_order_within_the_budget(encoder: TextEncoder, budget: int) -> None:
    texts = encode_chunks(encoder.tokenizer, TEXTS, "passage", budget)

    sequences = encoder.tokenizer(TEXTS, "passage")
    assert decoded(encoder, texts) == sequences
    assert len(texts) == len(TEXTS)
    assert texts.tokens == sum(map(len, sequences))
    assert all(ids.numel() <= budget or len(ids) == 1 for ids, _ in texts.chunks)
    assert texts.padded_tokens == sum(ids.numel() for ids, _ in texts.chunks) >= texts.tokens


@pytest.mark.parametrize("budget", [1, 40, 100])
def test_embeddings_of_chunks_equal_one_padded_batch(folder: Path, encoder: TextEncoder, budget: int) -> None:
    model = parts.dual_encoder(folder, local_loss=True).eval()
    with torch.no_grad():
        chunked = model.embed(encode_chunks(encoder.tokenizer, TEXTS, "query", budget))
        whole = encoder(*pad(encoder.tokenizer(TEXTS, "query"), encoder.tokenizer.pad_id))

    torch.testing.assert_close(chunked, whole, atol=1e-6, rtol=0)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_batch_is_what_the_plan_names(
    folder: Path, encoder: TextEncoder, corpus: ParallelCorpus, strategy: str
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
        assert decoded(encoder, batch.queries) == encoder.tokenizer(questions, "query")
        assert decoded(encoder, batch.passages) == encoder.tokenizer([p or "" for p in passages], "passage")
        assert batch.passage_ids.tolist() == ids
        assert batch.positive_ids.tolist() == ids[: parts.BATCH]
        assert -1 in ids
        assert batch.step == step
        assert batch.monolingual == (planned.query_languages == planned.passage_languages).all()


def test_ranks_together_are_the_global_batch(folder: Path, encoder: TextEncoder) -> None:
    plan, collate = parts.plan(folder), parts.collator(folder)
    whole = collate(plan[3])
    shares = [collate(plan[3].rank_slice(rank, 4)) for rank in range(4)]

    assert torch.equal(torch.cat([share.positive_ids for share in shares]), whole.positive_ids)
    assert [ids for share in shares for ids in decoded(encoder, share.queries)] == decoded(
        encoder, whole.queries
    )


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
        ).passage_ids.tolist()
        for code, index in languages.items()
    }
    assert found["de"][1] == -1
    assert found["en"][1] >= 0
    assert found["de"][0] == found["en"][0]
