"""A linear map of embeddings that takes out what tells the language, estimated on parallel texts.

As the last Dense module of a model it needs nothing at query time, not even the language of a text.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.embedder import Embedder
from hybrid_retrieval.evaluation.parallel_passages import drawn_order, embed_passages, parallel_passages
from hybrid_retrieval.index.chunks import check_finite
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.pooling import Dense

MINIMUM_TEXTS = 100


def language_projection(
    embeddings: np.ndarray, *, directions: int | None = None, shrinkage: float | None = 3.0
) -> np.ndarray:
    """Estimate the map W: an embedding x (a row) becomes x W, to be L2-normalised, so its scale is no matter.

    Let w_li be the deviation of text i in language l from the text's mean over the languages, and o_l, the
    offset of language l, the mean of w_li over the texts. W = P R has two parts:

    - P = I - V V' removes the top `directions` eigenvectors V of the mean of o_l o_l'. With all of them the
      mean embedding is the same in every language.
    - R = U diag(e / mean(e) + shrinkage)^(-1/2) U' damps each direction by its variance e among translations:
      U diag(e) U' is the mean of r r' with r = w_li - o_l. This is within-class covariance normalisation
      (WCCN) with a text as the class, and with the covariance shrunk towards the identity.

    LIR (arXiv 2109.04727) removes the first principal components of each language's embeddings from the
    embeddings in that language, so it has to be told the language. LSAR (arXiv 2401.05792) removes one
    subspace, found in the means of the languages, from all embeddings, as P does. Here the means are of the
    same texts in every language: what they differ in is the language and not the topics.

    Args:
        embeddings: float (languages, texts, dimension), of texts that are translations of each other; two
            languages at least.
        directions: how many to remove, at most languages - 1; None is all. Those without any variance stay.
        shrinkage: above 0; the larger, the less is damped; None damps nothing.

    Returns:
        float32 (dimension, dimension), computed in float64.

    Raises:
        UserError: more directions than there are, or a shrinkage that is not positive.
        ValueError: embeddings of another shape.

    Source: Hatch, Kajarekar and Stolcke, Interspeech 2006 (WCCN).
    """
    if embeddings.ndim != 3 or len(embeddings) < 2 or not embeddings.shape[1]:
        raise ValueError(f"{embeddings.shape}: not (languages, texts, dimension) of two languages or more")
    languages, texts, dimension = embeddings.shape
    _check(languages, directions, shrinkage)
    centre = embeddings.mean(axis=0, dtype=np.float64)
    offsets = np.empty((languages, dimension))
    scatter, square = np.zeros((dimension, dimension)), 0.0
    for row, of_language in enumerate(embeddings):
        deviations = of_language - centre
        offsets[row] = deviations.mean(axis=0)
        deviations -= offsets[row]
        scatter += deviations.T @ deviations / (languages * texts)
        square += float(np.square(of_language, dtype=np.float64).sum()) / (languages * texts)
    rounding = square * float(np.finfo(np.float32).eps) ** 2

    _, sizes, axes = np.linalg.svd(offsets, full_matrices=False)
    removed = axes[: languages - 1 if directions is None else directions]
    removed = removed[np.square(sizes[: len(removed)]) / languages > rounding]
    projection = np.eye(dimension) - removed.T @ removed
    if shrinkage is not None and np.trace(scatter) > rounding:
        variances, vectors = np.linalg.eigh(scatter)
        variances = variances.clip(min=0)
        weights = (variances / variances.mean() + shrinkage) ** -0.5
        projection = projection @ (vectors * weights) @ vectors.T
    return np.asarray(projection, dtype=np.float32)


def append_projection(encoder: TextEncoder, projection: np.ndarray) -> None:
    """Make a map the last module of an encoder before the normalisation.

    Args:
        encoder: changed in place.
        projection: float32 (dimension, dimension) of the encoder's embeddings, which become x W as rows.

    Raises:
        ValueError: another dimension.
    """
    size = encoder.dimension
    if projection.shape != (size, size):
        raise ValueError(f"a map of shape {projection.shape} for embeddings of dimension {size}")
    dense = Dense(size, size, bias=False, activation="identity")
    with torch.no_grad():
        dense.linear.weight.copy_(torch.from_numpy(projection.T.copy()))
    encoder.dense.append(dense.to(next(encoder.parameters()).device).train(encoder.training))


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
    _check(len(texts), directions, shrinkage)
    text_of = {(code, name): text for code, passages in texts.items() for name, text in passages.items()}
    embeddings = embed_passages(text_of, embedder, "projection", progress=progress)
    check_finite(embeddings, "embeddings of passages in projection.data")
    by_language = embeddings.reshape(len(texts), -1, embeddings.shape[1])
    return language_projection(by_language, directions=directions, shrinkage=shrinkage)


def _check(languages: int, directions: int | None, shrinkage: float | None) -> None:
    if directions is not None and not 0 <= directions < languages:
        raise UserError(
            f"projection.directions={directions} must be from 0 to {languages - 1}, as there are {languages} "
            "languages, or null for all."
        )
    if shrinkage is not None and not 0 < shrinkage < np.inf:
        raise UserError(f"projection.shrinkage={shrinkage} must be a number above 0, or null for no damping.")
