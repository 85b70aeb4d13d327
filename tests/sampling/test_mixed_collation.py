"""Texts and passage ids of batches with pairs of several data sets."""

from itertools import islice

import numpy as np
import pytest
import torch

from hybrid_retrieval.data.collate import Collator, EncodedTexts
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.losses.info_nce import InfoNCE
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.sampling.plan import BatchPlan
from hybrid_retrieval.sampling.strategies import make_strategy
from tests.data.memory_reader import opened

LANGUAGES = ("de", "en")
BATCH, NEGATIVES = 12, 2


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> TextEncoder:
    return TextEncoder.from_folder(prepare_tiny(tmp_path_factory.mktemp("tiny")), name="tiny").eval()


@pytest.fixture(scope="module")
def corpora(tmp_path_factory: pytest.TempPathFactory) -> list[ParallelCorpus]:
    """Two data sets whose passages have the same numbers, and queries that share passages."""
    made = []
    for name, size in (("small", 24), ("large", 48)):
        rows = {
            language: [
                Row(
                    id=f"r{i}",
                    question=f"{name} {language} {i}?",
                    passage=f"{name} {language} {i // 2}.",
                    passage_id=f"p{i // 2}",
                    negatives=tuple(f"p{(i // 2 + k) % (size // 2)}" for k in range(1, 1 + i % 3)),
                )
                for i in range(size)
            ]
            for language in LANGUAGES
        }
        made.append(opened(rows, tmp_path_factory.mktemp(name) / "corpus")["train"])
    return made


def decoded(texts: EncodedTexts) -> list[list[int]]:
    """Token ids in text order."""
    tokens = iter(texts.sequences.tokens.tolist())
    rows = [list(islice(tokens, length)) for length in texts.sequences.lengths]
    return [rows[i] for i in texts.order.tolist()]


def test_texts_and_ids_are_those_of_each_pairs_data_set(
    encoder: TextEncoder, corpora: list[ParallelCorpus]
) -> None:
    plan = BatchPlan(corpora, make_strategy("hybrid"), LANGUAGES, BATCH, 1, mix_datasets=True)
    collate = Collator(corpora, plan.languages, encoder.tokenizer, hard_negatives=NEGATIVES)
    seen, asked = set[tuple[int, int, int]](), set[tuple[int, int, int]]()
    for step in range(8):
        planned, batch = plan[step], collate(plan[step])
        owners = planned.row_datasets().tolist()
        assert len(set(owners)) == 2
        questions: list[str] = []
        passages: list[str | None] = []
        keys: list[tuple[int, int]] = []
        negative_keys: list[tuple[int, int]] = []
        for i, (owner, triple) in enumerate(zip(owners, planned.triples, strict=True)):
            corpus, one = corpora[owner], np.array([triple])
            positive = int(corpus.positives(one)[0])
            code = plan.languages[planned.passage_languages[i]]
            questions.append(
                corpus.query_text(plan.languages[planned.query_languages[i]], int(corpus.queries(one)[0]))
            )
            passages.append(corpus.passage_text(code, positive))
            keys.append((owner, positive))
            negative_keys += [(owner, int(n)) for n in corpus.negatives(one, NEGATIVES)[0]]
        for i, (owner, number) in enumerate(negative_keys):
            code = plan.languages[planned.passage_languages[i // NEGATIVES]]
            passages.append(corpora[owner].passage_text(code, number) if number >= 0 else "")
        everything = keys + negative_keys

        assert decoded(batch.queries) == encoder.tokenizer(questions, "query")
        assert decoded(batch.passages) == encoder.tokenizer([text or "" for text in passages], "passage")

        # Two ids are equal where data set and passage are, and -1 where there is no passage.
        ids = batch.ids.passage.tolist()
        assert [number == -1 for number in ids] == [passage == -1 for _, passage in everything]
        assert batch.ids.positive.tolist() == ids[:BATCH]
        for number, key in zip(ids, everything, strict=True):
            if number != -1:
                seen.add((number, *key))
        for number, owner, triple in zip(batch.ids.query.tolist(), owners, planned.triples, strict=True):
            asked.add((number, owner, int(corpora[owner].queries(np.array([triple]))[0])))
    # One number a passage, and one passage a number.
    passages_seen, numbers_seen = {key[1:] for key in seen}, {key[0] for key in seen}
    assert len(seen) == len(passages_seen) == len(numbers_seen) == 24 // 2 + 48 // 2
    queries_seen, numbers_seen = {key[1:] for key in asked}, {key[0] for key in asked}
    assert len(asked) == len(queries_seen) == len(numbers_seen) > 60


def test_no_passage_of_another_data_set_is_masked_for_its_number(
    encoder: TextEncoder, corpora: list[ParallelCorpus]
) -> None:
    plan = BatchPlan(corpora, make_strategy("x_x_mono"), LANGUAGES, BATCH, 1, mix_datasets=True)
    collate = Collator(corpora, plan.languages, encoder.tokenizer)
    clashes = 0
    for step in range(8):
        planned, batch = plan[step], collate(plan[step])
        numbers = [
            int(corpora[d].positives(np.array([t]))[0])
            for d, t in zip(planned.row_datasets(), planned.triples, strict=True)
        ]
        clashes += len(numbers) - len(set(numbers))
        generator = torch.Generator().manual_seed(step)
        queries, passages = (
            torch.nn.functional.normalize(torch.randn(BATCH, 8, generator=generator), dim=1) for _ in range(2)
        )
        # All passages of the batch are different ones, so the loss is that without any mask.
        plain = torch.nn.functional.cross_entropy(queries @ passages.T / 0.05, torch.arange(BATCH))
        loss = InfoNCE(0.05)(queries, passages, batch.ids)
        torch.testing.assert_close(loss, plain)
    assert clashes, "the data sets must have passages with one number for this test to say anything"
