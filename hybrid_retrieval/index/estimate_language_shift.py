"""Language offsets from parallel corpora: which passages, and their embeddings."""

from collections.abc import Collection, Sequence

import numpy as np

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.index.language_shift import LanguageShift

Texts = dict[str, tuple[str, str]]
"""By passage: its text in a language and in the pivot language."""


def estimate_language_shift(
    corpora: Sequence[ParallelCorpus],
    embedder: Embedder,
    *,
    pivot: str = "en",
    pairs: int = 1_000,
    languages: Collection[str] | None = None,
    seed: int = 0,
    renormalise: bool = True,
    progress: bool = True,
) -> LanguageShift:
    """Estimate the offset of every language of some parallel corpora.

    The passages are positives of the split, in an order that the seed draws; each language takes the first
    that it and the pivot both have, so languages share passages as far as they can.

    Args:
        corpora: where to take parallel passages; not what is evaluated on.
        embedder: the model; it embeds at most `pairs` passages a language.
        pivot: ISO 639-1 code.
        pairs: how many pairs a language, at most; corpora have equal shares.
        languages: those to estimate; None is all.
        seed: of the order.
        renormalise: as in `LanguageShift`.
        progress: whether to show a progress bar.

    Raises:
        UserError: `pairs` is below 1; no corpus has the pivot, or no passage is there in it and in another
            language; or the embeddings are not finite.
    """
    if pairs < 1:
        raise UserError(f"language_shift.pairs={pairs} must be at least 1.")
    with_pivot = [corpus for corpus in corpora if pivot in corpus.languages]
    if not with_pivot:
        known = sorted({language for corpus in corpora for language in corpus.languages})
        raise UserError(
            f"language_shift.pivot={pivot} is no language of language_shift.data, which has "
            f"{', '.join(known)}."
        )
    texts: dict[str, Texts] = {}
    for number, corpus in enumerate(with_pivot):
        wanted = [code for code in corpus.languages if languages is None or code in languages]
        share = -(-pairs // len(with_pivot))
        for language, chosen in _parallel_passages(corpus, wanted, pivot, share, seed).items():
            of_corpus = {f"{number}-{passage}": both for passage, both in chosen.items()}
            texts.setdefault(language, {}).update(of_corpus)
    if not texts:
        raise UserError(
            f"language_shift.data has no passage that is there in {pivot!r} and in another wanted language."
        )
    return _embed(texts, embedder, pivot, renormalise, progress)


def _parallel_passages(
    corpus: ParallelCorpus, languages: Sequence[str], pivot: str, limit: int, seed: int
) -> dict[str, dict[int, tuple[str, str]]]:
    """By language, at most `limit` passages: id to the text in the language and in the pivot."""
    positives = np.unique(corpus.positives(np.arange(len(corpus))))
    order = np.random.default_rng(seed).permutation(positives)
    found: dict[str, dict[int, tuple[str, str]]] = {}
    for language in languages:
        if language == pivot:
            continue
        chosen: dict[int, tuple[str, str]] = {}
        for passage in map(int, order):
            text = corpus.passage_text(language, passage)
            translation = corpus.passage_text(pivot, passage) if text is not None else None
            if text is not None and translation is not None:
                chosen[passage] = (text, translation)
                if len(chosen) == limit:
                    break
        if chosen:
            found[language] = chosen
    return found


def _embed(
    texts: dict[str, Texts], embedder: Embedder, pivot: str, renormalise: bool, progress: bool
) -> LanguageShift:
    """Embed all texts in one call, those of the pivot once."""
    of_pivot = {passage: both[1] for of in texts.values() for passage, both in of.items()}
    text_of = {(pivot, passage): text for passage, text in of_pivot.items()}
    text_of |= {(code, passage): both[0] for code, of in texts.items() for passage, both in of.items()}
    embeddings = embedder.embed(
        [f"{code}:{passage}" for code, passage in text_of],
        list(text_of.values()),
        "passage",
        title=f"language offsets: {len(text_of):,} passages" if progress else None,
    )
    row = {key: position for position, key in enumerate(text_of)}
    pairs = {
        code: (
            embeddings[[row[code, passage] for passage in of]],
            embeddings[[row[pivot, passage] for passage in of]],
        )
        for code, of in texts.items()
    }
    return LanguageShift.estimate(pairs, pivot=pivot, renormalise=renormalise, model=embedder.name)
