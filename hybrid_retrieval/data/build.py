"""Build a parallel corpus from a source: read each language, join them on ids, split and sort."""

import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.data.build_stages import run_stages
from hybrid_retrieval.data.cleaning.settings import Cleaning
from hybrid_retrieval.data.file_hashes import FileHashes
from hybrid_retrieval.data.language_stages import reading_task
from hybrid_retrieval.data.parallel import MANIFEST, SCHEMA, read_manifest
from hybrid_retrieval.data.progress import Progress
from hybrid_retrieval.data.readers.base import IdSource, Reader
from hybrid_retrieval.data.recipe import Recipe, recipe_of
from hybrid_retrieval.data.stages import Stages
from hybrid_retrieval.errors import StorageError, UserError
from hybrid_retrieval.evaluation.sources.lock import exclusive
from hybrid_retrieval.storage_errors import GOES_ON, NOT_WRITABLE, writing

Join = Literal["any", "complete"]
JOINS: tuple[Join, ...] = ("any", "complete")
SILENT = Progress()
STAGES = 2  # raised when what the stages write changes: an unfinished build of before is begun anew
AS_IT_IS = Cleaning()


def prepare_corpus(
    source: Reader | IdSource,
    cache: Path,
    *,
    validation_fraction: float = 0.0,
    languages: Sequence[str] | None = None,
    needed: Sequence[str] = (),
    cleaning: Cleaning = AS_IT_IS,
    progress: Progress = SILENT,
) -> Path:
    """The prepared corpus of a source; built unless a complete one of equal content lies in the cache.

    One process builds a corpus, while others that need it wait. What a killed build has finished is used by
    the next of equal content, and removed by the next of other content.

    Args:
        source: of rows, or of texts by id.
        cache: the cache folder; the corpus lies in `corpora/<name>-<first 16 digits of the fingerprint>`.
        validation_fraction: as in `build_corpus`.
        languages: as in `build_corpus`.
        needed: as in `build_corpus`.
        cleaning: as in `build_corpus`.
        progress: as in `build_corpus`.

    Returns:
        The folder, for `ParallelCorpus.open`.

    Raises:
        UserError: as `build_corpus`.
    """
    hashes = FileHashes(cache, progress)
    recipe = recipe_of(source, languages, validation_fraction, needed, hashes, cleaning=cleaning)
    folder = cache / "corpora" / f"{source.name}-{recipe.fingerprint[:16]}"
    if _is_complete(folder, recipe):
        progress.say(f"{source.name}: already prepared in {folder}")
        return folder
    locks = cache / "locks"

    def waiting() -> None:
        progress.say(f"{source.name}: waiting for another process that prepares it")

    with writing(folder, then=GOES_ON, instead="paths.cache=..."), _writing(cache, folder):
        locks.mkdir(parents=True, exist_ok=True)
        with exclusive(locks / f"{folder.name}.lock", waiting):
            if not _is_complete(folder, recipe):
                _remove_unfinished(folder, source.name, locks, progress)
                _build(source, folder, recipe, progress)
    return folder


@contextmanager
def _writing(cache: Path, folder: Path) -> Iterator[None]:
    """Say in one message that the cache cannot be written."""
    try:
        yield
    except OSError as error:
        if error.errno not in NOT_WRITABLE or not Path(str(error.filename)).is_relative_to(cache):
            raise
        raise UserError(
            f"{cache} cannot be written ({error.strerror}), and {folder.name} is not prepared in it. If it "
            "was, then its source, data.languages or data.validation_fraction are not as they were: name the "
            "prepared folder itself (data=prepared data.path=...). Otherwise prepare it where the cache can "
            "be written, or give another cache folder (paths.cache=...)."
        ) from error


def build_corpus(
    source: Reader | IdSource,
    folder: Path,
    *,
    validation_fraction: float = 0.0,
    languages: Sequence[str] | None = None,
    needed: Sequence[str] = (),
    cleaning: Cleaning = AS_IT_IS,
    progress: Progress = SILENT,
) -> None:
    """Build a corpus in a folder, which appears complete or not at all and replaces an earlier one.

    One triple a row id and passage id of a `Reader`, in the languages whose rows have both
    (`data.joined_triples`), or one a triple of an `IdSource`. Its passage exists in every language that has a
    text of it. A triple without a split of its own falls into validation or train by a hash of its passage
    id, so that passages and queries are in one of them in all languages and on every run.

    Memory holds the ids of a language (8 bytes each, or strings), what is named in them (a byte for each
    language), about 25 bytes a triple, and a batch of texts. The languages of an `IdSource` are read in as
    many processes as there are cores. A build that is killed leaves `.<name>.partial` beside the folder, from
    which the next goes on; a build that meets a mistake in the source leaves nothing.

    Args:
        source: of rows, or of texts by id.
        folder: where to build.
        validation_fraction: expected share of passages that go to validation, of those whose triples state no
            split; in [0, 1).
        languages: the languages to take, or None for all of the source's.
        needed: triples without query or passage in one of these languages are left out.
        cleaning: rows to remove (`data.cleaning`).
        progress: where to say what is done.

    Raises:
        UserError: a malformed text; a language the source lacks; an id twice in a language; rows of one id
            that differ in split, or in negatives though they have one passage; a passage id with two texts in
            a language; a hard negative that no row defines or that is the row's own positive; a fraction out
            of range; no triples, or none left after cleaning.
    """
    hashes = FileHashes(None, progress)
    recipe = recipe_of(source, languages, validation_fraction, needed, hashes, cleaning=cleaning)
    _build(source, folder, recipe, progress)


def _is_complete(folder: Path, recipe: Recipe) -> bool:
    try:
        return read_manifest(folder).fingerprint == recipe.fingerprint
    except UserError:
        return False


def _partial(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.partial")


def _remove_unfinished(folder: Path, name: str, locks: Path, progress: Progress) -> None:
    """Remove what killed builds of the same source with other content left, unless one is running."""

    def running() -> None:
        raise BlockingIOError

    for unfinished in folder.parent.glob(f".{name}-*.partial"):
        corpus = unfinished.name[1 : -len(".partial")]
        if unfinished == _partial(folder) or not re.fullmatch(r"[0-9a-f]{16}", corpus[len(name) + 1 :]):
            continue
        try:
            with exclusive(locks / f"{corpus}.lock", running):
                progress.say(f"{name}: removing an unfinished preparation of other content, {unfinished}")
                shutil.rmtree(unfinished, ignore_errors=True)
        except BlockingIOError:
            continue


def _build(source: Reader | IdSource, folder: Path, recipe: Recipe, progress: Progress) -> None:
    folder = Path(os.path.abspath(folder))
    stages = Stages(_partial(folder), f"{recipe.fingerprint}-{STAGES}")
    _check_space(source, stages, recipe)
    try:
        counts, cleaned = run_stages(source, stages, recipe, progress)
    except StorageError:
        raise  # the next goes on
    except UserError:
        stages.remove()
        raise
    corpus = stages.folder / "corpus"
    files = sorted(path for path in corpus.rglob("*") if path.is_file() and path != corpus / MANIFEST)
    content = {
        "schema": SCHEMA,
        "name": source.name,
        "languages": recipe.languages,
        "fingerprint": recipe.fingerprint,
        "source": {"reader": type(source).__name__, "fingerprint": recipe.source},
        "validation_fraction": recipe.validation_fraction,
        "needed_languages": recipe.needed,
        "counts": counts,
        **({} if cleaned is None else {"cleaning": cleaned.report}),
        "files": {path.relative_to(corpus).as_posix(): path.stat().st_size for path in files},
    }
    with atomic_file(corpus / MANIFEST, then=GOES_ON) as new:
        new.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    with atomic_folder(folder) as whole:  # which takes no room
        for part in corpus.iterdir():
            os.replace(part, whole / part.name)
    stages.remove()
    triples = ", ".join(f"{count['triples']:,} {split}" for split, count in counts["splits"].items())
    progress.say(f"{source.name}: {triples} triples in {len(recipe.languages)} languages, in {folder}")


def _check_space(source: Reader | IdSource, stages: Stages, recipe: Recipe) -> None:
    if not isinstance(source, IdSource):
        return
    left = [code for code in recipe.languages if reading_task(source, stages, code)]
    size, free = sum(map(source.source_bytes, left)), shutil.disk_usage(stages.folder).free
    if free < size:
        raise UserError(
            f"Preparing {source.name} takes about {size / 1e9:.1f} GB in {stages.folder.parent}, which has "
            f"{free / 1e9:.1f} GB left. Make room, choose another place (paths.cache=...) or fewer languages "
            "(data.languages)."
        )
