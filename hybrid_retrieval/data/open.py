"""From a `data` configuration to prepared corpora."""

import logging
from collections.abc import Sequence
from pathlib import Path

from omegaconf import DictConfig, ListConfig, OmegaConf

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.data.build import JOINS, prepare_corpus
from hybrid_retrieval.data.cleaning.settings import Cleaning, CleaningSettings
from hybrid_retrieval.data.file_hashes import FileHashes
from hybrid_retrieval.data.origin import origin_of, record_origin
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.prepared_folder import PreparedSource
from hybrid_retrieval.data.progress import Progress, shown_progress
from hybrid_retrieval.data.readers.base import IdSource
from hybrid_retrieval.data.readers.registry import make_reader
from hybrid_retrieval.data.sets import data_sets, get_by_hand
from hybrid_retrieval.errors import UserError, naming

logger = logging.getLogger(__name__)


def prepare_data(
    cfg: DictConfig,
    cache: str | None,
    progress: Progress | None = None,
    *,
    partial: bool = False,
    benchmarks: str | None = None,
) -> list[Path]:
    """Prepare every data set of a configuration, reusing what is in the cache.

    Rows are prepared in all languages of their source; texts by id (`IdSource`), which may be large, in the
    training languages alone. A prepared corpus is used as it is (`data.prepared_folder`).

    Args:
        cfg: `validation_fraction`, `join`, `languages`, `clean` and what `data_sets` takes, as in
            `conf/data/`.
        cache: folder of prepared things; None is the user's cache.
        progress: where to say what is done; None shows it on a terminal.
        partial: whether to prepare what can be prepared before saying what is missing or malformed.
        benchmarks: folder of prepared benchmarks, for `clean.decontaminate`; None is `benchmarks` in the
            cache.

    Returns:
        One corpus folder a data set.

    Raises:
        UserError: a source is missing or malformed.
    """
    if progress is None:
        with shown_progress(logger.debug) as shown:
            return prepare_data(cfg, cache, shown, partial=partial, benchmarks=benchmarks)
    sets = data_sets(cfg)
    missing = [one for one in sets if one.missing]
    if missing and not partial:
        raise UserError(get_by_hand(missing))
    root = cache_folder(cache)
    join = cfg.get("join", "any")
    if join not in JOINS:
        raise UserError(f"data.join={join} is unknown; known: {', '.join(JOINS)}.")
    paths = OmegaConf.create({"cache": cache, "benchmarks": benchmarks})
    settings = CleaningSettings.from_config(cfg.get("clean"))
    cleaning = Cleaning.prepare(settings, paths, FileHashes(root, progress))
    chosen = cfg.get("languages")
    folders = []
    problems = [get_by_hand(missing)] if missing else []
    for one in sets:
        if one.missing:
            continue
        languages = one.languages or (list(chosen) if isinstance(chosen, ListConfig) else chosen)
        try:
            source = make_reader(one.reader, one.path, one.languages, **one.options)
            if isinstance(source, PreparedSource):
                if cfg.get("sets") is None and float(cfg.validation_fraction):
                    raise UserError(
                        f"data.validation_fraction={cfg.validation_fraction}: a prepared corpus has its "
                        "splits. Leave it at 0, or prepare again with it."
                    )
                if settings.on:
                    raise UserError(_as_it_is(settings.on[0], one.path, alone=cfg.get("sets") is None))
                folders.append(source.folder(root, languages, complete=join == "complete", progress=progress))
                continue
            with naming(one.path):
                folder = prepare_corpus(
                    source,
                    root,
                    validation_fraction=float(cfg.validation_fraction),
                    languages=_there(source, languages) if isinstance(source, IdSource) else None,
                    needed=(languages or source.languages()) if join == "complete" else (),
                    cleaning=cleaning,
                    progress=progress,
                )
        except UserError as error:
            if not partial:
                raise
            problems.append(f"{str(error).rstrip('.')}.")
        else:
            record_origin(folder, origin_of(one, root))
            folders.append(folder)
    if problems:
        raise UserError(" ".join(problems))
    return folders


def _as_it_is(switch: str, path: str | None, *, alone: bool) -> str:
    """That a prepared corpus cannot be cleaned."""
    what = "a prepared corpus is used as it is"
    if alone:
        return f"data.clean.{switch}: {what}. Leave it off, or prepare again with it."
    return (
        f"data.clean.{switch}: data.sets has {path}, and {what}. Leave the switch off; or prepare the other "
        "sets by themselves, with data.clean, and name them in data.sets as {reader: prepared, path: ...}."
    )


def _there(source: IdSource, languages: Sequence[str] | None) -> Sequence[str] | None:
    """The training languages that a source has; all asked for, if it has none of them."""
    return languages and (sorted(set(languages) & set(source.languages())) or languages)


def open_data(
    cfg: DictConfig, cache: str | None, split: str, *, benchmarks: str | None = None
) -> list[ParallelCorpus]:
    """Open one split of every data set of a configuration; arguments as for `prepare_data`."""
    return [ParallelCorpus.open(folder, split) for folder in prepare_data(cfg, cache, benchmarks=benchmarks)]
