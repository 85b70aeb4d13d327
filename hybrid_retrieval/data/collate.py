"""From a planned batch to padded tensors: texts, tokens, buckets of similar length."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hybrid_retrieval.data.length_buckets import length_buckets, pad
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer
from hybrid_retrieval.sampling.plan import GlobalBatch
from hybrid_retrieval.sampling.strategies import BatchKind


@dataclass
class EncodedTexts:
    """Tokenised texts in buckets of similar length.

    Attributes:
        chunks: pairs of input_ids and attention_mask, int64 (n, longest of the chunk).
        order: int64 (texts,), text i is row `order[i]` of the chunks laid one after another.
    """

    chunks: list[tuple[Tensor, Tensor]]
    order: Tensor

    def __len__(self) -> int:
        return len(self.order)

    @property
    def tokens(self) -> int:
        """Tokens without padding."""
        return sum(int(mask.sum()) for _, mask in self.chunks)

    @property
    def padded_tokens(self) -> int:
        """Tokens with padding."""
        return sum(mask.numel() for _, mask in self.chunks)


@dataclass
class TrainBatch:
    """One rank's share of a global batch.

    Attributes:
        queries: b query texts.
        passages: b positives in the order of the queries, then b * k hard negatives.
        positive_ids: int64 (b,), passage ids of the positives.
        passage_ids: int64 (b * (1 + k),); -1 where a query has fewer than k hard negatives.
        monolingual: 1 if query and passage of every pair share a language, else 0.
        step: optimiser step.
        query_languages: int64 (b,), index into the plan's languages.
        passage_languages: int64 (b * (1 + k),), as `passage_ids`.
    """

    queries: EncodedTexts
    passages: EncodedTexts
    positive_ids: Tensor
    passage_ids: Tensor
    monolingual: int
    step: int
    query_languages: Tensor | None = None
    passage_languages: Tensor | None = None


def encode_chunks(
    tokenizer: TextTokenizer, texts: Sequence[str], kind: TextKind, token_budget: int
) -> EncodedTexts:
    """Tokenise texts and pad them in buckets of at most `token_budget` tokens."""
    sequences = tokenizer(texts, kind)
    buckets = length_buckets([len(s) for s in sequences], token_budget)
    chunks = [pad([sequences[i] for i in bucket], tokenizer.pad_id) for bucket in buckets]
    laid = np.concatenate(buckets)
    order = np.empty(len(laid), dtype=np.int64)
    order[laid] = np.arange(len(laid))
    return EncodedTexts(chunks, torch.from_numpy(order))


class Collator:
    """Turns a `GlobalBatch` (or a rank's slice of it) into a `TrainBatch`; picklable.

    Args:
        corpora: the data sets, in the plan's order.
        languages: the plan's languages.
        tokenizer: of the backbone.
        hard_negatives: k, hard negatives of each triple.
        token_budget: tokens of a chunk, padding included.
    """

    def __init__(
        self,
        corpora: Sequence[ParallelCorpus],
        languages: Sequence[str],
        tokenizer: TextTokenizer,
        *,
        hard_negatives: int = 0,
        token_budget: int = 2048,
    ) -> None:
        self.corpora = list(corpora)
        self.languages = tuple(languages)
        self.tokenizer = tokenizer
        self.hard_negatives = hard_negatives
        self.token_budget = token_budget

    def __call__(self, batch: GlobalBatch) -> TrainBatch:
        """Look up, tokenise and pad; a hard negative is taken in the language of the positive."""
        corpus = self.corpora[batch.dataset]
        query_ids = corpus.queries(batch.triples)
        positives = corpus.positives(batch.triples)
        codes = [self.languages[i] for i in batch.passage_languages]
        questions = [
            corpus.query_text(self.languages[language], int(query))
            for language, query in zip(batch.query_languages, query_ids, strict=True)
        ]
        texts = [corpus.passage_text(code, int(p)) for code, p in zip(codes, positives, strict=True)]
        negatives = corpus.negatives(batch.triples, self.hard_negatives)  # (b, k)
        ids = negatives.copy()
        negative_texts: list[str | None] = []
        for (row, column), passage in np.ndenumerate(negatives):
            text = corpus.passage_text(codes[row], int(passage)) if passage >= 0 else None
            if text is None:
                ids[row, column] = -1
            negative_texts.append(text or "")
        texts += negative_texts
        missing = [i for i, text in enumerate(texts[: len(positives)]) if text is None]
        if missing:
            raise ValueError(f"triple {batch.triples[missing[0]]} lacks the passage its plan named")
        return TrainBatch(
            queries=encode_chunks(self.tokenizer, questions, "query", self.token_budget),
            passages=encode_chunks(self.tokenizer, [t or "" for t in texts], "passage", self.token_budget),
            positive_ids=torch.from_numpy(np.ascontiguousarray(positives, dtype=np.int64)),
            passage_ids=torch.from_numpy(np.concatenate([positives, ids.reshape(-1)]).astype(np.int64)),
            monolingual=int(batch.kind is not BatchKind.CROSS_LINGUAL),
            step=batch.step,
            query_languages=torch.from_numpy(np.asarray(batch.query_languages, dtype=np.int64)),
            passage_languages=torch.from_numpy(
                np.concatenate(
                    [batch.passage_languages, np.repeat(batch.passage_languages, self.hard_negatives)]
                ).astype(np.int64)
            ),
        )
