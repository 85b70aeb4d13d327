"""The stages of building a corpus: read each language, join on ids, order texts, clean, split and sort."""

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.cleaning.stage import Cleaned, clean
from hybrid_retrieval.data.join import Joined, join_ids, text_positions
from hybrid_retrieval.data.joined_triples import TripleFiles, row_triples, shared_triples
from hybrid_retrieval.data.language_stages import (
    KINDS,
    cores,
    placing_task,
    reading_task,
    run_tasks,
    spool_folder,
)
from hybrid_retrieval.data.mapped_texts import write_texts
from hybrid_retrieval.data.parallel import SPLITS
from hybrid_retrieval.data.progress import Bar, Progress
from hybrid_retrieval.data.readers.base import IdSource, Reader
from hybrid_retrieval.data.readers.collection_source import CollectionSource
from hybrid_retrieval.data.recipe import Recipe
from hybrid_retrieval.data.split_arrays import SortedTriples, drawn_splits
from hybrid_retrieval.data.spool import Spool
from hybrid_retrieval.data.stages import Stages
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.triples import IntArray


def run_stages(
    source: Reader | IdSource, stages: Stages, recipe: Recipe, progress: Progress
) -> tuple[dict[str, Any], Cleaned | None]:
    """Carry out all stages that an earlier build has not finished.

    Args:
        source: of rows, or of texts by id.
        stages: whose folder gets `corpus`, complete but for the manifest.
        recipe: languages, fraction and switches.
        progress: where to say what is done.

    Returns:
        The counts for the manifest, and what was removed; None where nothing was to be.

    Raises:
        UserError: as `build_corpus`.
    """
    corpus = stages.folder / "corpus"
    for part in KINDS:
        (corpus / part).mkdir(parents=True, exist_ok=True)
    _read_languages(source, stages, recipe, progress)
    folders = [spool_folder(stages, code) for code in recipe.languages]
    joined = join_ids(folders)
    _join_triples(source, stages, recipe, joined, progress)
    tasks = [
        placing_task(stages, code, corpus, partial(_places, joined, folder))
        for code, folder in zip(recipe.languages, folders, strict=True)
    ]
    spooled = [folder / f"{kind}.arrow" for folder in folders for kind in KINDS]
    run_tasks(
        [task for task in tasks if task is not None],
        _workers(source),
        progress,
        f"{source.name}: ordering texts",
        sum(path.stat().st_size for path in spooled if path.exists()),
    )
    (corpus / "ids").mkdir(exist_ok=True)
    for kind, table in zip(KINDS, (joined.queries, joined.passages), strict=True):
        write_texts(corpus / "ids" / f"{kind}.arrow", table.names())
    drawn = drawn_splits(TripleFiles(stages.folder / "triples"), joined, recipe.validation_fraction)
    cleaned = None
    if recipe.cleaning.settings.on:
        switches = recipe.cleaning
        cleaned = clean(
            source.name, recipe.languages, stages, joined, drawn=drawn, cleaning=switches, progress=progress
        )
    return _write_splits(stages, recipe, joined, drawn, cleaned), cleaned


def _read_languages(source: Reader | IdSource, stages: Stages, recipe: Recipe, progress: Progress) -> None:
    tasks = {
        code: task for code in recipe.languages if (task := reading_task(source, stages, code)) is not None
    }
    if before := [code for code in recipe.languages if code not in tasks]:
        progress.say(f"{source.name}: going on, with {', '.join(before)} read before")
    if isinstance(source, IdSource):
        total = sum(source.source_bytes(code) for code in tasks)
        label = f"{source.name}: reading {', '.join(tasks)}"
        run_tasks(list(tasks.values()), _workers(source), progress, label, total)
        return
    for code, task in tasks.items():
        run_tasks([task], 1, progress, f"{source.name}: reading {code}", 0)
        spool = Spool.open(spool_folder(stages, code))
        rows = len(spool.triples.positive) if spool.triples else len(spool.query_ids)
        progress.say(f"{source.name}: {code}, {rows:,} rows")


def _places(joined: Joined, folder: Path) -> tuple[IntArray, IntArray]:
    return text_positions(joined, Spool.open(folder))


def _workers(source: Reader | IdSource) -> int:
    """Rows are read one language after another: a reader may keep what it learnt of the last."""
    if not isinstance(source, IdSource) or (isinstance(source, CollectionSource) and source.one_process):
        return 1
    return cores()


def _join_triples(
    source: Reader | IdSource, stages: Stages, recipe: Recipe, joined: Joined, progress: Progress
) -> None:
    if stages.complete("triples"):
        return
    folder = stages.empty("triples")
    if isinstance(source, IdSource):
        bar = Bar(progress, f"{source.name}: joining triples", source.source_bytes(None))
        chunks = shared_triples(source, joined, bar.advance)
    else:
        spools = [Spool.open(spool_folder(stages, code)) for code in recipe.languages]
        chunks = iter([row_triples(source, recipe.languages, spools, joined)])
    TripleFiles.write(folder, chunks, joined)
    stages.finish("triples", [folder])


def _write_splits(
    stages: Stages, recipe: Recipe, joined: Joined, drawn: npt.NDArray[np.int8], cleaned: Cleaned | None
) -> dict[str, Any]:
    """Write the arrays of the splits; the counts for the manifest."""
    triples = TripleFiles(stages.folder / "triples")
    needed = [recipe.languages.index(code) for code in recipe.needed]
    kept = None if cleaned is None else cleaned.kept
    ordered = SortedTriples(triples, joined, drawn, needed, kept)
    if len(ordered) == 0:
        raise UserError(_nothing(recipe, cleaned))
    folder = stages.empty("corpus/splits")
    splits = {split: ordered.write(number, folder / split) for number, split in enumerate(SPLITS)}
    both = [(part.availability.both(), part.availability.counts()) for part in splits.values()]
    rows = sum((has * counts[:, None]).sum(0) for has, counts in both)
    return {
        "queries": len(joined.queries),
        "passages": len(joined.passages),
        "rows": dict(zip(recipe.languages, rows.tolist(), strict=True)),
        "splits": {
            split: {
                "triples": part.triples,
                "distinct_positives": part.distinct_positives,
                "in_languages": part.availability.triples_by_languages(),
            }
            for split, part in splits.items()
        },
    }


def _nothing(recipe: Recipe, cleaned: Cleaned | None) -> str:
    removed = {} if cleaned is None else cleaned.report["removed"]
    most = max(removed, key=lambda switch: sum(removed[switch].values()), default="")
    if most and sum(removed[most].values()):
        counts = ", ".join(f"{switch} {sum(rows.values()):,}" for switch, rows in removed.items())
        return (
            f"Cleaning leaves nothing of {recipe.name}; rows removed: {counts}. Relax or turn off "
            f"data.clean.{most}."
        )
    if not recipe.needed:
        return f"{recipe.name} has no triples. Get its files again."
    return (
        f"No triple of {recipe.name} exists in all of {', '.join(recipe.needed)}. Choose fewer languages "
        "(data.languages), or set data.join=any."
    )
