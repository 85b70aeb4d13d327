"""Where prepared models and data sets are kept between runs."""

import os
from pathlib import Path


def cache_folder(given: str | Path | None = None) -> Path:
    """The cache folder; it need not exist yet.

    Args:
        given: `paths.cache`; None is the user's own.

    Returns:
        The folder given, else `$HYBRID_RETRIEVAL_CACHE`, else `$XDG_CACHE_HOME/hybrid-retrieval`, else
        `~/.cache/hybrid-retrieval`, as an absolute path. An empty variable counts as unset.
    """
    if given:
        return Path(given).expanduser().absolute()
    if own := os.environ.get("HYBRID_RETRIEVAL_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "hybrid-retrieval"
    return Path.home() / ".cache" / "hybrid-retrieval"
