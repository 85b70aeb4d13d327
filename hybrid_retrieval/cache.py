"""Where prepared models and data sets are kept between runs."""

import os
from pathlib import Path


def cache_folder() -> Path:
    """The user's cache folder; it need not exist yet.

    Returns:
        `$HYBRID_RETRIEVAL_CACHE`, else `$XDG_CACHE_HOME/hybrid-retrieval`, else `~/.cache/hybrid-retrieval`,
        as an absolute path. An empty variable counts as unset.
    """
    if own := os.environ.get("HYBRID_RETRIEVAL_CACHE"):
        return Path(own).expanduser().absolute()
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(shared).expanduser().absolute() / "hybrid-retrieval"
    return Path.home() / ".cache" / "hybrid-retrieval"
