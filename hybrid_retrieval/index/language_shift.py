"""SHIFT: take each language's mean offset out of the embeddings of documents, without training."""

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.index.base import Vectors
from hybrid_retrieval.index.chunks import check_finite, fingerprint_of

log = logging.getLogger(__name__)

SCHEMA = 1


@dataclass(frozen=True, eq=False)
class LanguageShift:
    """Offsets of languages from a pivot language, and what subtracts them from documents.

    The offset of a language is the mean, over pairs of a passage and its translation in the pivot language,
    of the difference of their embeddings. It is subtracted from every document of the language when the
    document is indexed; queries stay as they are. So do documents in the pivot language and in languages
    without pairs.

    The paper's abstract leaves two things open. Here the differences are those of the embeddings as the model
    gives them (L2-normalised, for ours), each pair with equal weight; and after the subtraction a document's
    embedding is scaled back to the length that it had (`renormalise`), so that inner products remain cosines.

    Attributes:
        pivot: ISO 639-1 code.
        offsets: float32 (dimension,) by language, without the pivot.
        pairs: number of pairs behind each offset.
        renormalise: whether to scale embeddings back to their length.
        model: name of the model whose embeddings these are; "" if unknown.

    Source: SHIFT, arXiv 2606.18801.
    """

    pivot: str
    offsets: Mapping[str, np.ndarray]
    pairs: Mapping[str, int]
    renormalise: bool = True
    model: str = ""

    @classmethod
    def estimate(
        cls,
        pairs: Mapping[str, tuple[np.ndarray, np.ndarray]],
        *,
        pivot: str = "en",
        renormalise: bool = True,
        model: str = "",
    ) -> "LanguageShift":
        """Estimate the offsets of languages.

        Args:
            pairs: by language, the embeddings float32 (pairs, dimension) of its passages and those of their
                translations in the pivot language, row by row. The pivot itself and languages without rows
                get no offset.
            pivot: ISO 639-1 code.
            renormalise: as in the attributes.
            model: name of the model.

        Raises:
            UserError: an embedding is NaN or infinite.
            ValueError: the two arrays of a language differ in shape, or two languages in dimension.
        """
        offsets: dict[str, np.ndarray] = {}
        for language, (passages, translations) in sorted(pairs.items()):
            if passages.shape != translations.shape or passages.ndim != 2:
                raise ValueError(
                    f"{language}: passages have shape {passages.shape}, translations {translations.shape}"
                )
            if language == pivot or not len(passages):
                continue
            check_finite(passages, f"embeddings of passages in {language!r}")
            check_finite(translations, f"embeddings of their translations in {pivot!r}")
            difference = passages.mean(axis=0, dtype=np.float64) - translations.mean(axis=0, dtype=np.float64)
            offsets[language] = difference.astype(np.float32)
        if len({len(offset) for offset in offsets.values()}) > 1:
            raise ValueError("the embeddings of the languages differ in dimension")
        return cls(pivot, offsets, {of: len(pairs[of][0]) for of in offsets}, renormalise, model)

    def without_offset(self, languages: Iterable[str]) -> list[str]:
        """Which of some languages have no offset, the pivot aside; sorted."""
        return sorted(set(map(str, languages)) - set(self.offsets) - {self.pivot})

    def apply(self, embeddings: np.ndarray, languages: Sequence[str] | np.ndarray) -> np.ndarray:
        """Subtract from each document its language's offset; a warning names the languages without one.

        A document's result depends on its own embedding and language alone, to the bit.

        Args:
            embeddings: float32 (documents, dimension); left as it is.
            languages: (documents,) ISO 639-1 codes.

        Returns:
            float32 (documents, dimension).

        Raises:
            UserError: the embeddings have another dimension than the offsets.
            ValueError: there is not one language for each document.
        """
        codes = np.asarray(languages, dtype=np.str_)
        self.warn_of_missing(np.unique(codes))
        return self.apply_quietly(embeddings, codes)

    def apply_quietly(self, embeddings: np.ndarray, languages: np.ndarray) -> np.ndarray:
        """As `apply`, without the warning."""
        if languages.shape != embeddings.shape[:1]:
            raise ValueError(f"{languages.shape} languages for embeddings of shape {embeddings.shape}")
        shifted = np.array(embeddings, dtype=np.float32)
        for language in np.unique(languages):
            offset = self.offsets.get(str(language))
            if offset is None:
                continue
            if len(offset) != embeddings.shape[1]:
                raise UserError(
                    f"The language offsets have {len(offset)} dimensions, the embeddings "
                    f"{embeddings.shape[1]}. Estimate the offsets with the model that is evaluated."
                )
            rows = languages == language
            documents = embeddings[rows].astype(np.float64)
            moved = documents - offset
            if self.renormalise:
                length, new_length = (np.linalg.norm(of, axis=1, keepdims=True) for of in (documents, moved))
                # A document that equals the offset has no direction left: it stays zero.
                moved *= length / np.where(new_length > 0, new_length, 1)
            shifted[rows] = moved
        return shifted

    def warn_of_missing(self, languages: Iterable[str]) -> None:
        """Warn, in one line, of languages without an offset."""
        missing = self.without_offset(languages)
        if missing:
            log.warning(
                "language_shift: no parallel passages for %s: these documents stay as they are.",
                ", ".join(missing),
            )

    def about(self) -> dict[str, Any]:
        """What metrics.json says of the shift: all but the offsets themselves."""
        return {
            "pivot": self.pivot,
            "pairs": dict(self.pairs),
            "renormalise": self.renormalise,
            "model": self.model,
        }

    def save(self, path: Path) -> None:
        """Write a safetensors file: a tensor for each language, the rest as JSON in its header.

        Args:
            path: the file, replaced at once or not at all.
        """
        about = {"language_shift": json.dumps({"schema": SCHEMA, **self.about()})}
        with atomic_file(path) as new:
            save_file(dict(self.offsets), new, metadata=about)

    @classmethod
    def load(cls, path: Path) -> "LanguageShift":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing, damaged or something else.
        """
        again = "Estimate the offsets again."
        try:
            with safe_open(path, framework="numpy") as file:
                about = json.loads((file.metadata() or {})["language_shift"])
                offsets = {language: file.get_tensor(language) for language in file.keys()}  # noqa: SIM118
            if about["schema"] != SCHEMA:
                raise UserError(f"{path}: schema {about['schema']}, this version reads {SCHEMA}. {again}")
            return cls(about["pivot"], offsets, about["pairs"], about["renormalise"], about["model"])
        except FileNotFoundError:
            raise UserError(f"{path}: no such file. {again}") from None
        except (SafetensorError, ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path}: no file of language offsets ({error}). {again}") from None


class ShiftedVectors:
    """The embeddings of a corpus with each language's offset taken out, chunk by chunk.

    Args:
        vectors: the corpus.
        languages: (embeddings,) ISO 639-1 code of each.
        shift: the offsets; a warning names the languages that lack one.

    Raises:
        ValueError: there is not one language for each embedding.
    """

    def __init__(self, vectors: Vectors, languages: Sequence[str] | np.ndarray, shift: LanguageShift) -> None:
        self.vectors, self.shift = vectors, shift
        self.languages = np.asarray(languages, dtype=np.str_)
        if self.languages.shape != (len(vectors),):
            raise ValueError(f"{self.languages.shape} languages for {len(vectors)} embeddings")
        shift.warn_of_missing(np.unique(self.languages))

    @property
    def dimension(self) -> int:
        """Of each embedding."""
        return self.vectors.dimension

    @cached_property
    def fingerprint(self) -> str:
        """Hex digest of the embeddings before the shift, their languages and the offsets."""
        digest = hashlib.sha256(fingerprint_of(self.vectors).encode())
        digest.update(json.dumps([self.shift.pivot, self.shift.renormalise]).encode())
        for language, offset in sorted(self.shift.offsets.items()):
            digest.update(language.encode() + offset.tobytes())
        codes, numbers = np.unique(self.languages, return_inverse=True)
        digest.update(json.dumps(codes.tolist()).encode() + numbers.astype(np.int64).tobytes())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self.vectors)

    def chunks(self, rows: int) -> Iterator[np.ndarray]:
        """All embeddings in order, float32 (at most `rows`, dimension) at one time."""
        start = 0
        for chunk in self.vectors.chunks(rows):
            yield self.shift.apply_quietly(chunk, self.languages[start : start + len(chunk)])
            start += len(chunk)
