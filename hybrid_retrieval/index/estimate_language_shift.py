"""Language offsets from parallel corpora: which passages, and their embeddings."""

from collections.abc import Collection, Sequence

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.parallel_passages import drawn_order, embed_passages, parallel_passages
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
        share, order = -(-pairs // len(with_pivot)), drawn_order(corpus, seed)
        for language in corpus.languages:
            if language == pivot or (languages is not None and language not in languages):
                continue
            for passage, (text, translation) in parallel_passages(
                corpus, order, (language, pivot), share
            ).items():
                texts.setdefault(language, {})[f"{number}-{passage}"] = (text, translation)
    if not texts:
        raise UserError(
            f"language_shift.data has no passage that is there in {pivot!r} and in another wanted language."
        )
    return _embed(texts, embedder, pivot, renormalise, progress)


def _embed(
    texts: dict[str, Texts], embedder: Embedder, pivot: str, renormalise: bool, progress: bool
) -> LanguageShift:
    """Embed all texts in one call, those of the pivot once."""
    of_pivot = {passage: both[1] for of in texts.values() for passage, both in of.items()}
    text_of = {(pivot, passage): text for passage, text in of_pivot.items()}
    text_of |= {(code, passage): both[0] for code, of in texts.items() for passage, both in of.items()}
    embeddings = embed_passages(text_of, embedder, "language offsets", progress=progress)
    row = {key: position for position, key in enumerate(text_of)}
    pairs = {
        code: (
            embeddings[[row[code, passage] for passage in of]],
            embeddings[[row[pivot, passage] for passage in of]],
        )
        for code, of in texts.items()
    }
    return LanguageShift.estimate(pairs, pivot=pivot, renormalise=renormalise, model=embedder.name)
