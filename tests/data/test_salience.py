"""Document frequencies by hand, and views as weighted samples of a passage's tokens."""

from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.salience import SalientViews, token_salience
from hybrid_retrieval.data.token_store import TokenizedTexts
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.text_tokenizer import TextTokenizer
from hybrid_retrieval.models.tiny import prepare_tiny
from tests.losses import dual_encoder_parts as parts


@pytest.fixture(scope="module")
def corpus(prepared: Path) -> ParallelCorpus:
    return parts.corpus(prepared)


@pytest.fixture(scope="module")
def tokenizer(prepared: Path) -> TextTokenizer:
    return TextEncoder.from_folder(prepare_tiny(prepared), name="tiny").tokenizer


def views(tokenizer: TextTokenizer, salience: dict[int, float], **options: float) -> SalientViews:
    """Tokens have salience 1 but for those given."""
    table = np.ones((2, len(tokenizer.hf_tokenizer)), dtype=np.float32)
    for token, value in salience.items():
        table[:, token] = value
    return SalientViews(tokenizer, table, 1, **options)


def test_salience_is_the_inverse_document_frequency(corpus: ParallelCorpus, tokenizer: TextTokenizer) -> None:
    size = len(tokenizer.hf_tokenizer)
    found = token_salience([corpus], ["th", "de"], TokenizedTexts(tokenizer), size)

    assert found.shape == (2, size)
    for line, code in enumerate(["th", "de"]):
        ids = corpus.positives(np.arange(len(corpus)))
        texts = [corpus.passage_text(code, int(passage)) or "" for passage in ids]
        documents = [set(ids) for ids in tokenizer(texts, "passage")]
        for token in [0, 5, *sorted(documents[3])]:
            frequency = sum(token in document for document in documents)
            expected = np.log((len(texts) + 1) / (frequency + 0.5))
            assert found[line, token] == pytest.approx(expected, rel=1e-5)
    assert (found > 0).all()


def test_a_sample_of_the_passages_is_spread_over_the_data_set(
    corpus: ParallelCorpus, tokenizer: TextTokenizer
) -> None:
    size = len(tokenizer.hf_tokenizer)
    tokens = TokenizedTexts(tokenizer)
    whole = token_salience([corpus], ["en"], tokens, size)
    part = token_salience([corpus], ["en", "xx"], tokens, size, sample=9)

    special = tokenizer.hf_tokenizer.all_special_ids[0]  # in every passage
    assert whole[0, special] == pytest.approx(np.log((len(corpus) + 1) / (len(corpus) + 0.5)))
    assert part[0, special] == pytest.approx(np.log(10 / 9.5))
    assert np.unique(part[1]).tolist() == pytest.approx([np.log(2)])  # a language without data


def test_both_parts_together_are_the_passage(corpus: ParallelCorpus, tokenizer: TextTokenizer) -> None:
    ids = corpus.positives(np.arange(12))
    passages = [p for p in TokenizedTexts(tokenizer)(corpus, "passage", ["en"] * 12, ids) if p is not None]
    languages, rows = np.zeros(12, dtype=np.int64), np.arange(12)
    bos, *prefix, eos = tokenizer([""], "passage")[0]

    for keep in (0.3, 0.8, 1.0):
        made = views(tokenizer, {}, keep=keep)
        for passage, view, rest in zip(passages, *made.split(passages, 4, rows, languages), strict=True):
            whole = passage.tolist()
            start = 1 + len(prefix)
            assert whole[:start] == [bos, *prefix]
            content = len(whole) - start - 1
            for part in (view.tolist(), rest.tolist()):
                assert part[:start] == [bos, *prefix]
                assert part[-1] == eos
            inside = [part.tolist()[start:-1] for part in (view, rest)]
            assert sorted(inside[0] + inside[1]) == sorted(whole[start:-1])
            assert len(inside[0]) == min(int(np.ceil(keep * content)), content - 1)
            for part in inside:  # in the order of the passage
                left = iter(whole[start:-1])
                assert all(token in left for token in part)


def test_tokens_are_drawn_in_proportion_to_their_salience(tokenizer: TextTokenizer) -> None:
    """Of two tokens one is kept: the salient one in 3 of 4 draws; of three it comes first in 3 of 5."""
    bos, *prefix, eos = tokenizer([""], "passage")[0]
    rare, common, other = 900, 901, 902
    made = views(tokenizer, {rare: 3.0}, keep=0.3)
    for tokens, share in (([rare, common], 3 / 4), ([rare, common, other], 3 / 5)):
        count = 4000
        passages = [np.array([bos, *prefix, *tokens, eos])] * count
        kept, _ = made.split(passages, 0, np.arange(count), np.zeros(count, dtype=np.int64))
        assert all(len(view) == len(prefix) + 3 for view in kept)
        found = sum(rare in view for view in kept) / count
        assert found == pytest.approx(share, abs=5 * np.sqrt(share * (1 - share) / count))


def test_a_view_depends_on_seed_step_row_and_passage_alone(tokenizer: TextTokenizer) -> None:
    passages = [np.array(s) for s in tokenizer(["a river and a lake in the north of it"] * 6, "passage")]
    made, languages, rows = views(tokenizer, {}, keep=0.5), np.zeros(6, dtype=np.int64), np.arange(6)
    whole = [view.tolist() for view in made.split(passages, 7, rows, languages)[0]]

    late = made.split(passages[4:], 7, rows[4:], languages[4:])[0]
    assert [view.tolist() for view in late] == whole[4:]
    assert len({tuple(view) for view in whole}) > 1
    assert [v.tolist() for v in made.split(passages, 8, rows, languages)[0]] != whole


@pytest.mark.parametrize("content", [[], [900]])
def test_a_passage_of_no_or_one_token_is_its_own_view(tokenizer: TextTokenizer, content: list[int]) -> None:
    frame = tokenizer([""], "passage")[0]
    passage = [*frame[:-1], *content, frame[-1]]

    kept, rest = views(tokenizer, {}, keep=0.1).split([np.array(passage)], 0, np.array([0]), np.array([0]))

    assert kept[0].tolist() == passage
    assert rest[0].tolist() == frame
