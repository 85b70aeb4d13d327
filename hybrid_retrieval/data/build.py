"""Build a parallel corpus from a reader: join the languages on row id, check, split and sort."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.data.join import Join
from hybrid_retrieval.data.mapped_texts import write_texts
from hybrid_retrieval.data.parallel import MANIFEST, SCHEMA, SPLITS, read_manifest
from hybrid_retrieval.data.readers.base import Reader
from hybrid_retrieval.data.split_arrays import assign_splits, write_split
from hybrid_retrieval.errors import UserError

Progress = Callable[[str], None]


def _silent(message: str) -> None:
    """Default of `progress`."""


def prepare_corpus(
    reader: Reader,
    cache: Path,
    *,
    validation_fraction: float = 0.0,
    languages: Sequence[str] | None = None,
    progress: Progress = _silent,
) -> Path:
    """The prepared corpus of a reader; built unless a complete one of equal content lies in the cache.

    Args:
        reader: the source.
        cache: the cache folder; the corpus lies in `corpora/<name>-<first 16 digits of the fingerprint>`.
        validation_fraction: as in `build_corpus`.
        languages: as in `build_corpus`.
        progress: as in `build_corpus`.

    Returns:
        The folder, for `ParallelCorpus.open`.

    Raises:
        UserError: as `build_corpus`.
    """
    recipe = _recipe(reader, languages, validation_fraction)
    folder = cache / "corpora" / f"{reader.name}-{recipe.fingerprint[:16]}"
    try:
        complete = read_manifest(folder).fingerprint == recipe.fingerprint
    except UserError:
        complete = False
    if complete:
        progress(f"{reader.name}: already prepared in {folder}")
    else:
        _build(reader, folder, recipe, progress)
    return folder


def build_corpus(
    reader: Reader,
    folder: Path,
    *,
    validation_fraction: float = 0.0,
    languages: Sequence[str] | None = None,
    progress: Progress = _silent,
) -> None:
    """Build a corpus in a folder, which appears complete or not at all and replaces an earlier one.

    One triple a row id. Its query and passage exist in the languages that have the row; its passage also in
    those where another row has the same passage id. A row without a split of its own falls into validation
    or train by a hash of its passage id, so that a passage is in one of them in all languages and on every
    run. Ids count from 0 in order of appearance over the sorted languages. Memory holds all ids, and the
    texts of one language at a time.

    Args:
        reader: the source.
        folder: where to build.
        validation_fraction: expected share of passages that go to validation, of those whose rows state no
            split; in [0, 1).
        languages: the languages to take, or None for all of the reader's.
        progress: called with a line of text at each stage.

    Raises:
        UserError: a malformed row; a language the reader lacks; a row id twice in a language; rows of one id
            that differ in passage id, negatives or split between languages; a passage id with two texts in a
            language; a hard negative that no row defines or that is the row's own positive; a fraction out
            of range; no rows.
    """
    _build(reader, folder, _recipe(reader, languages, validation_fraction), progress)


@dataclass(frozen=True)
class _Recipe:
    """What the content of a corpus depends on."""

    name: str
    source: str
    languages: tuple[str, ...]
    validation_fraction: float

    @property
    def fingerprint(self) -> str:
        parts = [SCHEMA, self.name, self.source, self.languages, self.validation_fraction]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def _build(reader: Reader, folder: Path, recipe: _Recipe, progress: Progress) -> None:
    with atomic_folder(folder) as new:
        for part in ("ids", "queries", "passages"):
            (new / part).mkdir()
        join = Join(reader)
        for language in recipe.languages:
            texts = join.read(language)
            write_texts(new / "queries" / f"{language}.arrow", texts.queries())
            write_texts(new / "passages" / f"{language}.arrow", texts.passages())
            progress(f"{reader.name}: {language}, {join.row_counts[language]:,} rows")
        joined = join.finish()
        write_texts(new / "ids" / "queries.arrow", joined.row_ids)
        write_texts(new / "ids" / "passages.arrow", joined.passage_ids)
        split_of = assign_splits(joined, recipe.validation_fraction)
        splits = {
            split: write_split(joined, split_of == number, new / "splits" / split)
            for number, split in enumerate(SPLITS)
        }
        files = sorted(path for path in new.rglob("*") if path.is_file())
        content = {
            "schema": SCHEMA,
            "name": reader.name,
            "languages": recipe.languages,
            "fingerprint": recipe.fingerprint,
            "source": {"reader": type(reader).__name__, "fingerprint": recipe.source},
            "validation_fraction": recipe.validation_fraction,
            "counts": {
                "queries": len(joined.row_ids),
                "passages": len(joined.passage_ids),
                "rows": join.row_counts,
                "splits": splits,
            },
            "files": {path.relative_to(new).as_posix(): path.stat().st_size for path in files},
        }
        manifest = json.dumps(content, indent=1, ensure_ascii=False)
        (new / MANIFEST).write_text(manifest + "\n", encoding="utf-8")
    triples = ", ".join(f"{count['triples']:,} {split}" for split, count in splits.items())
    progress(f"{reader.name}: {triples} triples in {len(recipe.languages)} languages, in {folder}")


def _recipe(reader: Reader, languages: Sequence[str] | None, validation_fraction: float) -> _Recipe:
    if isinstance(validation_fraction, bool) or not 0 <= validation_fraction < 1:
        raise UserError(
            f"data.validation_fraction must lie in [0, 1), not {validation_fraction!r}. "
            "Set for example data.validation_fraction=0.05."
        )
    codes = _languages(reader, languages)
    return _Recipe(reader.name, reader.fingerprint(), tuple(codes), float(validation_fraction))


def _languages(reader: Reader, languages: Sequence[str] | None) -> list[str]:
    available = reader.languages()
    if languages is None:
        return sorted(available)
    if isinstance(languages, str) or not languages:
        raise UserError(f"data.languages must be a list such as [de,en], or null for all; not {languages!r}.")
    missing = sorted(set(languages) - set(available))
    if missing:
        raise UserError(
            f"{reader.name} has no data in {', '.join(missing)}: choose data.languages from "
            f"{', '.join(available)}."
        )
    return sorted(set(languages))
