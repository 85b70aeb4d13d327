"""A linear map of embeddings that takes out what tells the language, from embeddings of parallel texts.

As the last Dense module of a model it needs nothing at query time, not even the language of a text.
"""

import math
from typing import Any

import numpy as np
import torch

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.models.encoder import TextEncoder
from hybrid_retrieval.models.pooling import Dense


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
    check_directions(directions, languages)
    check_shrinkage(shrinkage)
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


def check_directions(directions: int | None, languages: int) -> None:
    """Check `projection.directions`.

    Raises:
        UserError: neither null nor from 0 to `languages` - 1.
    """
    if directions is not None and not 0 <= directions < languages:
        raise UserError(
            f"projection.directions={directions} must be from 0 to {languages - 1}, as there are {languages} "
            "languages, or null for all."
        )


def check_shrinkage(shrinkage: Any) -> None:
    """Check `projection.shrinkage`, as configured.

    Raises:
        UserError: neither null nor a number above 0.
    """
    number = isinstance(shrinkage, int | float) and not isinstance(shrinkage, bool)
    if shrinkage is not None and not (number and shrinkage > 0 and math.isfinite(shrinkage)):
        raise UserError(f"projection.shrinkage={shrinkage} must be a number above 0, or null for no damping.")
