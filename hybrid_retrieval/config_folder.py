"""Where the Hydra configuration groups lie."""

from pathlib import Path

from hybrid_retrieval.errors import UserError


def config_folder() -> Path:
    """The folder that holds the configuration groups (`backbone/`, `data/`, ...).

    Returns:
        `hybrid_retrieval/conf` inside an installed wheel, else `conf` at the root of the checkout.

    Raises:
        UserError: neither exists, so the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    candidates = (package / "conf", package.parent / "conf")
    for candidate in candidates:
        if (candidate / "backbone").is_dir():
            return candidate
    raise UserError(
        f"the configuration folder is missing: looked for backbone/ in {candidates[0]} and {candidates[1]}. "
        "Reinstall the package: pip install --force-reinstall --no-deps hybrid-retrieval"
    )
