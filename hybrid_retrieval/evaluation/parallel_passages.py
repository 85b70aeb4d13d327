"""Passages and their translations, for what is estimated from them: which ones, and their embeddings."""

from collections.abc import Mapping, Sequence

import numpy as np

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.sampling.triples import IntArray


def drawn_order(corpus: ParallelCorpus, seed: int) -> IntArray:
    """The positives of a split, in an order that the seed draws; passage ids int64."""
    positives = np.unique(corpus.positives(np.arange(len(corpus))))
    return np.random.default_rng(seed).permutation(positives)


def parallel_passages(
    corpus: ParallelCorpus, order: IntArray, languages: Sequence[str], limit: int
) -> dict[int, tuple[str, ...]]:
    """The first passages that have a text in each of some languages.

    Args:
        corpus: has all these languages.
        order: passage ids, in which passages are taken.
        languages: ISO 639-1 codes.
        limit: passages, at most.

    Returns:
        By passage id, its text in each language.
    """
    found: dict[int, tuple[str, ...]] = {}
    for passage in map(int, order):
        texts: list[str] = []
        for language in languages:
            text = corpus.passage_text(language, passage)
            if text is None:
                break
            texts.append(text)
        else:
            found[passage] = tuple(texts)
            if len(found) == limit:
                break
    return found


def embed_passages(
    text_of: Mapping[tuple[str, str], str], embedder: Embedder, what: str, *, progress: bool
) -> np.ndarray:
    """Embed passages in one call.

    Args:
        text_of: by language and name of a passage, its text.
        embedder: the model.
        what: what they are for, in the progress bar.
        progress: whether to show one.

    Returns:
        float32 (passages, dimension), in the order of `text_of`.
    """
    return embedder.embed(
        [f"{language}:{passage}" for language, passage in text_of],
        list(text_of.values()),
        "passage",
        title=f"{what}: {len(text_of):,} passages" if progress else None,
    )
