"""From a planned batch to tensors: texts, tokens, longest first."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from hybrid_retrieval.data.extra_texts import Extra, ExtraTexts
from hybrid_retrieval.data.length_buckets import longest_first
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.token_store import TokenizedTexts, TokenSource
from hybrid_retrieval.data.token_table import TokenArray
from hybrid_retrieval.losses.pair_ids import PairIds
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer
from hybrid_retrieval.models.token_batch import TokenBatch, Tokens
from hybrid_retrieval.sampling.plan import GlobalBatch
from hybrid_retrieval.sampling.strategies import BatchKind
from hybrid_retrieval.sampling.triples import IntArray


@dataclass
class EncodedTexts:
    """Tokenised texts, sorted by length.

    Attributes:
        sequences: longest first.
        order: int64 (texts,), text i is sequence `order[i]`.
        token_budget: for `TextEncoder.batches`, which cuts the sequences into chunks of a forward pass each.
    """

    sequences: TokenBatch
    order: Tensor
    token_budget: int

    def __len__(self) -> int:
        return len(self.order)

    @classmethod
    def of(cls, sequences: Sequence[Tokens], token_budget: int) -> "EncodedTexts":
        """Sort token sequences, one a text."""
        laid = longest_first([len(sequence) for sequence in sequences])
        order = np.empty(len(laid), dtype=np.int64)
        order[laid] = np.arange(len(laid))
        return cls(TokenBatch.of([sequences[i] for i in laid]), torch.from_numpy(order), token_budget)

    @property
    def tokens(self) -> int:
        """Tokens, without padding."""
        return len(self.sequences.tokens)


@dataclass
class TrainBatch:
    """One rank's share of a global batch.

    Attributes:
        queries: b query texts.
        passages: b positives in the order of the queries, then b * k hard negatives.
        ids: of the queries and of the passages, each counted over all data sets; -1 where a query has fewer
            than k hard negatives.
        monolingual: 1 if query and passage of every pair share a language, else 0.
        step: optimiser step.
        query_languages: int64 (b,), index into the plan's languages.
        passage_languages: int64 (b * (1 + k),), in the order of the passages.
        extra: further texts, by the field of `ExtraInputs` that their embeddings go to (`data.extra_texts`).
        translated: by the same, the share of rows that have a text in another language, not the text itself.
    """

    queries: EncodedTexts
    passages: EncodedTexts
    ids: PairIds
    monolingual: int
    step: int
    query_languages: Tensor
    passage_languages: Tensor
    extra: dict[str, EncodedTexts] = field(default_factory=dict)
    translated: dict[str, float] = field(default_factory=dict)


class Collator:
    """Turns a `GlobalBatch` (or a rank's slice of it) into a `TrainBatch`; picklable.

    Args:
        corpora: the data sets, in the plan's order.
        languages: the plan's languages.
        tokenizer: of the backbone.
        hard_negatives: k, hard negatives of each triple.
        token_budget: tokens of a chunk; padding counts where the encoder must pad.
        extra: finds further texts that the loss needs.
        tokens: of the texts, made with `tokenizer`; None tokenises them every time.
    """

    def __init__(
        self,
        corpora: Sequence[ParallelCorpus],
        languages: Sequence[str],
        tokenizer: TextTokenizer,
        *,
        hard_negatives: int = 0,
        token_budget: int = 2048,
        extra: ExtraTexts | None = None,
        tokens: TokenSource | None = None,
    ) -> None:
        self.corpora = list(corpora)
        # Counted over all data sets, so that ids of different ones differ.
        self._first_query = np.cumsum([0, *(corpus.counts["queries"] for corpus in corpora)])[:-1]
        self._first_passage = np.cumsum([0, *(corpus.passage_count for corpus in corpora)])[:-1]
        self.languages = tuple(languages)
        self.tokenizer = tokenizer
        self.hard_negatives = hard_negatives
        self.token_budget = token_budget
        self.extra = extra
        self.tokens: TokenSource = tokens or TokenizedTexts(tokenizer)
        self._empty: list[int] = tokenizer([""], "passage")[0]

    def __call__(self, batch: GlobalBatch) -> TrainBatch:
        """Look up and sort; a hard negative is taken in the language of the positive."""
        pairs, k = len(batch), self.hard_negatives
        query_ids, positives, negatives = self._ids(batch)
        rows = np.concatenate([np.arange(pairs), np.repeat(np.arange(pairs), k)])  # the pair of each passage
        ids = np.concatenate([positives, negatives.reshape(-1)])  # (b * (1 + k),)
        datasets, passage_languages = batch.row_datasets(), np.asarray(batch.passage_languages)[rows]
        queries = self._tokens("query", datasets, batch.query_languages, query_ids)
        passages = self._tokens("passage", datasets[rows], passage_languages, ids)
        missing = [i % pairs for i, text in enumerate([*queries, *passages[:pairs]]) if text is None]
        if missing:
            raise ValueError(f"triple {batch.triples[missing[0]]} lacks a text that its plan named")
        shifted = ids + self._first_passage[datasets[rows]]
        shifted[[text is None for text in passages]] = -1
        extra = Extra() if self.extra is None else self.extra(batch)
        return TrainBatch(
            queries=self._encoded(queries),
            passages=self._encoded(passages),
            ids=PairIds(torch.from_numpy(query_ids + self._first_query[datasets]), torch.from_numpy(shifted)),
            monolingual=int(batch.kind is not BatchKind.CROSS_LINGUAL),
            step=batch.step,
            query_languages=torch.from_numpy(np.asarray(batch.query_languages, dtype=np.int64)),
            passage_languages=torch.from_numpy(passage_languages.astype(np.int64)),
            extra={name: self._encoded(found) for name, found in extra.sequences.items()},
            translated=extra.translated,
        )

    def _encoded(self, sequences: Sequence[TokenArray | None]) -> EncodedTexts:
        """For a passage that is missing, an empty one."""
        return EncodedTexts.of([self._empty if s is None else s for s in sequences], self.token_budget)

    def _tokens(
        self, kind: TextKind, datasets: IntArray, languages: IntArray, ids: IntArray
    ) -> list[TokenArray | None]:
        """The tokens of texts of several data sets, None where a language lacks one."""
        found: dict[int, TokenArray | None] = {}
        for dataset in np.unique(datasets).tolist():
            at = np.flatnonzero(datasets == dataset)
            codes = [self.languages[i] for i in languages[at]]
            of_dataset = self.tokens(self.corpora[dataset], kind, codes, ids[at])
            found.update(zip(at.tolist(), of_dataset, strict=True))
        return [found[i] for i in range(len(ids))]

    def _ids(self, batch: GlobalBatch) -> tuple[IntArray, IntArray, IntArray]:
        """Queries (b,), positives (b,) and hard negatives (b, k) of each pair, ids of its own data set."""
        queries, positives = (np.empty(len(batch), dtype=np.int64) for _ in range(2))
        negatives = np.empty((len(batch), self.hard_negatives), dtype=np.int64)
        for dataset, at, pairs in batch.by_dataset():
            corpus = self.corpora[dataset]
            queries[at], positives[at] = corpus.queries(pairs.triples), corpus.positives(pairs.triples)
            negatives[at] = corpus.negatives(pairs.triples, self.hard_negatives)
        return queries, positives, negatives
