"""What the content of a prepared corpus depends on."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hybrid_retrieval.data.cleaning.settings import Cleaning
from hybrid_retrieval.data.file_hashes import HashFile
from hybrid_retrieval.data.parallel import SCHEMA
from hybrid_retrieval.data.readers.base import IdSource, Reader
from hybrid_retrieval.data.readers.input_file import cannot_be_read
from hybrid_retrieval.errors import UserError


@dataclass(frozen=True)
class Recipe:
    """What is prepared, and how.

    Attributes:
        name: of the source.
        source: its fingerprint.
        languages: sorted.
        validation_fraction: in [0, 1).
        needed: languages that every triple must have, sorted.
        cleaning: what is removed.
    """

    name: str
    source: str
    languages: tuple[str, ...]
    validation_fraction: float
    needed: tuple[str, ...]
    cleaning: Cleaning = field(default_factory=Cleaning)

    @property
    def fingerprint(self) -> str:
        """Hex digest: equal for equal content."""
        parts = [SCHEMA, self.name, self.source, self.languages, self.validation_fraction]
        if self.needed:
            parts.append(self.needed)
        if self.cleaning.recipe is not None:
            parts.append(self.cleaning.recipe)
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def recipe_of(
    source: Reader | IdSource,
    languages: Sequence[str] | None,
    validation_fraction: float,
    needed: Sequence[str],
    hash_file: HashFile,
    *,
    cleaning: Cleaning,
) -> Recipe:
    """Check what is asked of a source and take its fingerprint.

    Args:
        source: of rows, or of texts by id.
        languages: to take, or None for all.
        validation_fraction: as in `build_corpus`.
        needed: as in `build_corpus`.
        hash_file: hex digest of a file.
        cleaning: as in `build_corpus`.

    Raises:
        UserError: a fraction out of range, or a language that the source lacks.
    """
    if isinstance(validation_fraction, bool) or not 0 <= validation_fraction < 1:
        raise UserError(
            f"data.validation_fraction must lie in [0, 1), not {validation_fraction!r}. "
            "Set for example data.validation_fraction=0.05."
        )
    codes = _languages(source, languages)
    missing = sorted(set(needed) - set(codes))
    if missing:
        raise UserError(
            f"data.join=complete keeps the triples that all of data.languages have, but {source.name} has no "
            f"data in {', '.join(missing)}. Remove it from data.languages, or set data.join=any."
        )
    try:
        content = (
            source.fingerprint(codes, hash_file)
            if isinstance(source, IdSource)
            else source.fingerprint(hash_file)
        )
    except OSError as error:
        raise cannot_be_read(Path(str(error.filename or source.name)), error) from error
    needed = tuple(sorted(set(needed)))
    return Recipe(source.name, content, tuple(codes), float(validation_fraction), needed, cleaning)


def _languages(source: Reader | IdSource, languages: Sequence[str] | None) -> list[str]:
    available = source.languages()
    if languages is None:
        return sorted(available)
    if isinstance(languages, str) or not languages:
        raise UserError(f"data.languages must be a list such as [de,en], or null for all; not {languages!r}.")
    missing = sorted(set(languages) - set(available))
    if missing:
        raise UserError(
            f"{source.name} has no data in {', '.join(missing)}: choose data.languages from "
            f"{', '.join(available)}."
        )
    return sorted(set(languages))
