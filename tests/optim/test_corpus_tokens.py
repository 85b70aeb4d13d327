"""The tokens found are those that batches hold."""

from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import torch

from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.tiny import prepare_tiny
from hybrid_retrieval.optim.corpus_tokens import corpus_token_ids
from tests.data.memory_reader import SMALL, opened
from tests.losses import dual_encoder_parts as parts


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("prepared")
    parts.prepare(folder)
    return folder


def test_every_token_of_every_batch_is_found_and_no_other_but_special_ones(prepared: Path) -> None:
    plan, collate = parts.plan(prepared), parts.collator(prepared)
    ids = corpus_token_ids(
        [parts.corpus(prepared)], parts.LANGUAGES, collate.tokenizer, hard_negatives=parts.HARD_NEGATIVES
    )
    met = set(collate.tokenizer.hf_tokenizer.all_special_ids)
    for step in range(60):
        batch = collate(plan[step])
        for chunk, _mask in (*batch.queries.chunks, *batch.passages.chunks):
            met.update(torch.unique(chunk).tolist())

    assert ids.tolist() == sorted(met)


def test_lengths_languages_and_missing_texts(prepared: Path, tmp_path: Path) -> None:
    """Thai lacks most rows of the small source; a cut leaves the prefix and the first token."""
    tokenizer = TextEncoder.from_folder(prepare_tiny(prepared), name="tiny").tokenizer
    corpora = [opened(SMALL, tmp_path / "corpus")["train"]]
    everything = corpus_token_ids(corpora, ["de", "en", "th"], tokenizer)
    thai = corpus_token_ids(corpora, ["th", "xx"], tokenizer)
    expected = tokenizer(["th question 0", "th question 3"], "query")
    expected += tokenizer(["th passage 0", "th passage 1"], "passage")

    assert thai.tolist() == sorted({*chain.from_iterable(expected), *tokenizer.hf_tokenizer.all_special_ids})
    assert set(thai) < set(everything)
    short = corpus_token_ids(corpora, ["th"], tokenizer.shortened(4, 4))
    assert set(short) < set(thai)


def test_the_cache_is_read_written_anew_when_damaged_and_knows_the_options(
    prepared: Path, tmp_path: Path
) -> None:
    tokenizer = TextEncoder.from_folder(prepare_tiny(prepared), name="tiny").tokenizer
    corpora = [parts.corpus(prepared)]
    first = corpus_token_ids(corpora, parts.LANGUAGES, tokenizer, cache=tmp_path)
    (file,) = (tmp_path / "token_ids").iterdir()
    np.save(file, first[:3])
    assert np.array_equal(corpus_token_ids(corpora, parts.LANGUAGES, tokenizer, cache=tmp_path), first[:3])
    file.write_bytes(file.read_bytes()[:20])
    assert np.array_equal(corpus_token_ids(corpora, parts.LANGUAGES, tokenizer, cache=tmp_path), first)
    corpus_token_ids(corpora, parts.LANGUAGES, tokenizer.shortened(8, 8), cache=tmp_path)
    corpus_token_ids(corpora, ["de"], tokenizer, cache=tmp_path)
    corpus_token_ids(corpora, parts.LANGUAGES, tokenizer, hard_negatives=1, cache=tmp_path)

    assert len(list((tmp_path / "token_ids").iterdir())) == 4
