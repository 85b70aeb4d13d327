"""From a `data` configuration to prepared corpora."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig, OmegaConf
from rich.console import Console

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.data.build import prepare_corpus
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.registry import make_reader

logger = logging.getLogger(__name__)


def prepare_data(
    cfg: DictConfig, cache: str | None, progress: Callable[[str], None] | None = None
) -> list[Path]:
    """Prepare every data set of a configuration, reusing what is in the cache.

    Args:
        cfg: `reader`, `path` (a folder or a list of folders), `validation_fraction` and `options`, as in
            `conf/data/`.
        cache: folder of prepared things; None is the user's cache.
        progress: called with a line at the start of every stage; None shows the stage on a terminal.

    Returns:
        One corpus folder a path.

    Raises:
        UserError: the source is missing or malformed.
    """
    if progress is None:
        console = Console(stderr=True)
        with console.status("preparing data") as status:
            return prepare_data(cfg, cache, status.update if console.is_terminal else logger.debug)
    paths: Sequence[str | None] = list(cfg.path) if isinstance(cfg.path, ListConfig) else [cfg.path]
    options: dict[str, Any] = OmegaConf.to_container(cfg.options)  # type: ignore[assignment]
    root = cache_folder(cache)
    return [
        prepare_corpus(
            make_reader(cfg.reader, path, None, **options),
            root,
            validation_fraction=float(cfg.validation_fraction),
            progress=progress,
        )
        for path in paths
    ]


def open_data(cfg: DictConfig, cache: str | None, split: str) -> list[ParallelCorpus]:
    """Open one split of every data set of a configuration; arguments as for `prepare_data`."""
    return [ParallelCorpus.open(folder, split) for folder in prepare_data(cfg, cache)]
