"""Validation batches: held-out texts, or a benchmark's, by length, shared out over the ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from hybrid_retrieval.data.collate import EncodedTexts
from hybrid_retrieval.data.length_buckets import length_batches, longest_first
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.models.text_tokenizer import TextTokenizer

Kind = Literal["query", "passage"]
Source = Literal["held_out", "benchmark"]
Key = tuple[int, int, int, int]


@dataclass
class ValidationBatch:
    """Texts of one kind with who they are.

    Attributes:
        source: held-out rows of the training data, or a benchmark.
        kind: queries or passages.
        texts: the n texts.
        item_ids: int64 (n,), the triple, counted over all data sets; of a benchmark the position of the text
            among its queries or its candidates.
        passage_ids: int64 (n,), the same in every language, counted over all data sets; of a benchmark the
            same as `item_ids`.
        languages: int64 (n,), index into the validation languages, or into the benchmark's.
        query_ids: int64 (n,), of queries the same for triples of one query, counted over all data sets; of
            passages that of some triple; of a benchmark the same as `item_ids`.
    """

    source: Source
    kind: Kind
    texts: EncodedTexts
    item_ids: Tensor
    passage_ids: Tensor
    languages: Tensor
    query_ids: Tensor


class ValidationBatches(Dataset[ValidationBatch]):
    """Texts in batches of similar length, every `world_size`-th batch.

    Args:
        source: where the texts are from.
        texts: queries and passages.
        keys: item id, passage id, language and query id of each text.
        tokenizer: of the backbone.
        token_budget: tokens of a batch; the encoder cuts it again if it must pad.
        rank: of this process.
        world_size: number of processes.
    """

    def __init__(
        self,
        source: Source,
        texts: dict[Kind, list[str]],
        keys: dict[Kind, list[Key]],
        tokenizer: TextTokenizer,
        *,
        token_budget: int,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        self._source = source
        self._token_budget = token_budget
        self._batches: list[tuple[Kind, list[list[int]], list[Key]]] = []
        for kind in ("query", "passage"):
            sequences = tokenizer(texts[kind], kind)
            order = longest_first([len(s) for s in sequences])
            for rows in length_batches([len(sequences[i]) for i in order], token_budget, None):
                batch = order[rows]
                self._batches.append((kind, [sequences[i] for i in batch], [keys[kind][i] for i in batch]))
        self._batches = self._batches[rank::world_size]

    @classmethod
    def of_benchmark(
        cls, benchmark: Benchmark, tokenizer: TextTokenizer, **shares: int
    ) -> "ValidationBatches":
        """Every query and candidate of a benchmark; `shares` are `token_budget`, `rank` and `world_size`."""
        texts: dict[Kind, list[str]] = {"query": benchmark.query_texts, "passage": benchmark.candidate_texts}
        languages = {"query": benchmark.query_language, "passage": benchmark.candidate_language}
        keys: dict[Kind, list[Key]] = {
            kind: [(i, i, int(language), i) for i, language in enumerate(languages[kind])] for kind in texts
        }
        return cls("benchmark", texts, keys, tokenizer, **shares)

    @classmethod
    def of_corpora(
        cls,
        corpora: Sequence[ParallelCorpus],
        languages: Sequence[str],
        tokenizer: TextTokenizer,
        *,
        limit: int,
        **shares: int,
    ) -> "ValidationBatches":
        """Every held-out query and passage in every language.

        Args:
            corpora: validation splits.
            languages: which languages to encode.
            tokenizer: of the backbone.
            limit: triples of all data sets taken at most, spread evenly over each.
            shares: `token_budget`, `rank` and `world_size`.
        """
        texts: dict[Kind, list[str]] = {"query": [], "passage": []}
        keys: dict[Kind, list[Key]] = {"query": [], "passage": []}
        total = sum(len(corpus) for corpus in corpora)
        first_item = first_passage = first_query = 0
        for corpus in corpora:
            share = max(1, round(limit * len(corpus) / total)) if total > limit else len(corpus)
            triples = np.unique(torch.linspace(0, len(corpus) - 1, min(share, len(corpus))).long().numpy())
            for column, code in enumerate(languages):
                if code not in corpus.languages:
                    continue
                available = corpus.availability.both()[
                    corpus.availability.run_of(triples), corpus.languages.index(code)
                ]
                here = triples[available]
                queries, positives = corpus.queries(here), corpus.positives(here)
                seen = set[int]()
                for triple, query, positive in zip(here, queries, positives, strict=True):
                    numbers = first_item + int(triple), first_passage + int(positive)
                    key = *numbers, column, first_query + int(query)
                    texts["query"].append(corpus.query_text(code, int(query)))
                    keys["query"].append(key)
                    passage = corpus.passage_text(code, int(positive))
                    if passage is not None and int(positive) not in seen:
                        seen.add(int(positive))
                        texts["passage"].append(passage)
                        keys["passage"].append(key)
            first_item += len(corpus)
            first_passage += corpus.passage_count
            first_query += int(corpus.counts["queries"])
        return cls("held_out", texts, keys, tokenizer, **shares)

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> ValidationBatch:
        kind, sequences, keys = self._batches[index]
        texts = EncodedTexts.of(sequences, self._token_budget)
        ids = torch.tensor(keys, dtype=torch.int64).unbind(1)
        return ValidationBatch(self._source, kind, texts, *ids)
