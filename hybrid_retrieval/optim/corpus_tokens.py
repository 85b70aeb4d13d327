"""Which tokens the training texts are made of: one pass over them, kept in the cache."""

import hashlib
import json
import logging
import os
import time
import uuid
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice
from pathlib import Path

import numpy as np

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.models.text_tokenizer import TextKind, TextTokenizer
from hybrid_retrieval.sampling.triples import IntArray

logger = logging.getLogger(__name__)

BATCH_TEXTS = 1024
SCHEMA = 1


def corpus_token_ids(
    corpora: Sequence[ParallelCorpus],
    languages: Sequence[str],
    tokenizer: TextTokenizer,
    *,
    hard_negatives: int = 0,
    cache: Path | None = None,
) -> IntArray:
    """Every token that a batch of these data sets can hold, and the special tokens.

    A pure function of the data and the options, so that all ranks and resumed runs find the same.

    Args:
        corpora: training splits.
        languages: training languages.
        tokenizer: with the prefixes and lengths that training uses: what is cut off is not counted.
        hard_negatives: the number of each triple that batches hold.
        cache: keeps the result in `cache/token_ids/`; None computes it every time.

    Returns:
        int64, ascending, without duplicates.
    """
    path = None
    if cache is not None:
        key = _fingerprint(corpora, languages, tokenizer, hard_negatives)
        path = cache / "token_ids" / f"{key}.npy"
        try:
            found: IntArray = np.load(path, allow_pickle=False)
            return found
        except (OSError, ValueError, EOFError):
            pass
    started, count = time.perf_counter(), 0
    seen = set[int](tokenizer.hf_tokenizer.all_special_ids)
    for kind, texts in _texts(corpora, languages, hard_negatives):
        while batch := list(islice(texts, BATCH_TEXTS)):
            seen.update(chain.from_iterable(tokenizer(batch, kind)))
            count += len(batch)
    ids = np.array(sorted(seen), dtype=np.int64)
    logger.info(
        "%s different tokens in %s training texts, found in %.1f s",
        *(f"{len(ids):,}", f"{count:,}", time.perf_counter() - started),
    )
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f".{path.stem}.{uuid.uuid4().hex[:12]}.npy")
        np.save(new, ids)
        os.replace(new, path)
    return ids


def _texts(
    corpora: Sequence[ParallelCorpus], languages: Sequence[str], hard_negatives: int
) -> Iterator[tuple[TextKind, Iterator[str]]]:
    for corpus in corpora:
        triples = np.arange(len(corpus))
        runs = corpus.availability.run_of(triples)
        queries, negatives = corpus.queries(triples), corpus.negatives(triples, hard_negatives)
        passages = np.union1d(corpus.positives(triples), negatives[negatives >= 0])
        for language in languages:
            if language not in corpus.languages:
                continue
            exists = corpus.availability.query[runs, corpus.languages.index(language)]
            yield "query", _queries(corpus, language, np.unique(queries[exists]))
            yield "passage", _passages(corpus, language, passages)


def _queries(corpus: ParallelCorpus, language: str, queries: Iterable[int]) -> Iterator[str]:
    for query in queries:
        yield corpus.query_text(language, int(query))


def _passages(corpus: ParallelCorpus, language: str, passages: Iterable[int]) -> Iterator[str]:
    for passage in passages:
        if (text := corpus.passage_text(language, int(passage))) is not None:
            yield text


def _fingerprint(
    corpora: Sequence[ParallelCorpus], languages: Sequence[str], tokenizer: TextTokenizer, hard_negatives: int
) -> str:
    model = json.loads(tokenizer.hf_tokenizer.backend_tokenizer.to_str())
    # State of the last call, not part of what the tokenizer is.
    model.pop("truncation", None)
    model.pop("padding", None)
    parts = [
        *(SCHEMA, [[corpus.fingerprint, corpus.split] for corpus in corpora], sorted(languages)),
        *(hard_negatives, tokenizer.prefixes, tokenizer.max_length, model),
    ]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:32]
