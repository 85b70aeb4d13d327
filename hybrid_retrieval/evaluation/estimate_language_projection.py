"""The map of `models.language_projection` from parallel corpora: which passages, and their embeddings."""

from collections.abc import Mapping, Sequence

import numpy as np

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.parallel_passages import drawn_order, embed_passages, parallel_passages
from hybrid_retrieval.index.chunks import check_finite
from hybrid_retrieval.models.language_projection import check_directions, check_shrinkage, language_projection

MINIMUM_TEXTS = 100


def parallel_texts(
    corpora: Sequence[ParallelCorpus],
    *,
    texts: int = 1_000,
    languages: Sequence[str] | None = None,
    seed: int = 0,
) -> dict[str, dict[str, str]]:
    """Passages that are there in all languages, for `estimate_language_projection`.

    Args:
        corpora: of one split; not what is evaluated on.
        texts: how many passages, at most; drawn from the positives, in equal shares of the corpora.
        languages: ISO 639-1 codes; None is all that the corpora have.
        seed: of the draw.

    Returns:
        By language the text of each passage; all have the same passages in the same order.

    Raises:
        UserError: fewer than two languages, one that a corpus lacks, or fewer than 100 passages that all of
            them have.
    """
    if texts < MINIMUM_TEXTS:
        raise UserError(f"projection.texts={texts} must be at least {MINIMUM_TEXTS}.")
    codes = sorted(set(languages) if languages is not None else {c for of in corpora for c in of.languages})
    if len(codes) < 2:
        raise UserError(
            f"projection.data: one language ({', '.join(codes)}) has no translations. Name two or more with "
            "projection.data.languages=[...], or other data."
        )
    for corpus in corpora:
        if missing := sorted(set(codes) - set(corpus.languages)):
            raise UserError(
                f"projection.data: {corpus.name} has no texts in {', '.join(missing)}, only in "
                f"{', '.join(corpus.languages)}. Name those that all data sets have in "
                "projection.data.languages=[...]."
            )
    found: dict[str, tuple[str, ...]] = {}
    for number, corpus in enumerate(corpora):
        share, order = -(-texts // len(corpora)), drawn_order(corpus, seed)
        for passage, translations in parallel_passages(corpus, order, codes, share).items():
            found[f"{number}-{passage}"] = translations
    if len(found) < MINIMUM_TEXTS:
        raise UserError(
            f"projection.data has {len(found)} passages of projection.split={corpora[0].split} that all of "
            f"{', '.join(codes)} have, and at least {MINIMUM_TEXTS} are needed. Name fewer languages with "
            "projection.data.languages=[...], or other data."
        )
    return {code: {name: of[column] for name, of in found.items()} for column, code in enumerate(codes)}


def estimate_language_projection(
    texts: Mapping[str, Mapping[str, str]],
    embedder: Embedder,
    *,
    directions: int | None = None,
    shrinkage: float | None = 3.0,
    progress: bool = True,
) -> np.ndarray:
    """Embed passages and their translations, and estimate the map.

    Args:
        texts: of `parallel_texts`.
        embedder: the model.
        directions, shrinkage: as for `language_projection`, and checked before anything is embedded.
        progress: whether to show a progress bar.

    Returns:
        float32 (dimension, dimension).

    Raises:
        UserError: as `language_projection`, or an embedding is not finite.
    """
    check_directions(directions, len(texts))
    check_shrinkage(shrinkage)
    text_of = {(code, name): text for code, passages in texts.items() for name, text in passages.items()}
    embeddings = embed_passages(text_of, embedder, "projection", progress=progress)
    check_finite(embeddings, "embeddings of passages in projection.data")
    by_language = embeddings.reshape(len(texts), -1, embeddings.shape[1])
    return language_projection(by_language, directions=directions, shrinkage=shrinkage)
