"""`hybrid-retrieval dashboard`: a workspace and a report on Weights & Biases, or both as JSON."""

import importlib.util
import os
import shlex
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console

from hybrid_retrieval.dashboard.settings import DashboardSettings
from hybrid_retrieval.errors import RunFailedError, UserError

JSON_FILE = "dashboard.json"


def run(cfg: DictConfig) -> None:
    """Upload the dashboard and print where it is; without a login, or with `json`, write it to a file.

    Args:
        cfg: `conf/dashboard.yaml`.

    Raises:
        UserError: a package is missing, a setting is wrong, or W&B does not know the key or the project.
        RunFailedError: the server was not reached; the file is written.
    """
    if importlib.util.find_spec("wandb_workspaces") is None:
        raise UserError("dashboard needs a package: pip install 'hybrid-retrieval[dashboard]'")
    plain: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
    timeout = plain["timeout"]
    if isinstance(timeout, bool) or not isinstance(timeout, int) or timeout < 1:
        raise UserError(f"timeout={timeout} must be a whole number of seconds above 0.")
    settings = DashboardSettings.of(plain, os.environ)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    if reason := _why_not_upload(plain):
        path = _write(plain, settings)
        console.print(f"{path}: a workspace and a report of {settings.title}.")
        console.print(f"Not uploaded: {reason}.")
        console.print("To upload them, log in (wandb login), upload the runs (wandb sync), and:")
        console.print(f"  {shlex.join(['hybrid-retrieval', 'dashboard', *settings.overrides()])}")
        return
    from hybrid_retrieval.dashboard.upload import upload  # noqa: PLC0415 - wandb

    try:
        uploaded = upload(settings, timeout=timeout)
    except (UserError, RunFailedError) as error:
        path = _write(plain, settings)
        raise type(error)(f"{error} Written instead: {path}") from error
    if not uploaded.runs:
        console.print("There are no such runs on W&B yet; the panels fill as runs are uploaded (wandb sync).")
    console.print(f"workspace: {uploaded.workspace}")
    console.print(f"report: {uploaded.report}")


def _why_not_upload(plain: dict[str, Any]) -> str:
    """In words; "" where nothing is in the way."""
    if plain["json"]:
        return "json=... only writes"
    if (mode := os.environ.get("WANDB_MODE", "online")) != "online":
        return f"WANDB_MODE={mode}"
    from hybrid_retrieval.dashboard.upload import has_login  # noqa: PLC0415 - wandb

    return "" if has_login() else "there is no login to W&B"


def _write(plain: dict[str, Any], settings: DashboardSettings) -> Path:
    from hybrid_retrieval.dashboard.spec import specification, write  # noqa: PLC0415 - wandb
    from hybrid_retrieval.dashboard.views import report, workspace  # noqa: PLC0415

    folders = [Path(folder) for folder in plain["runs"]]
    path = Path(plain["json"] or (folders[0] / JSON_FILE if len(folders) == 1 else JSON_FILE))
    if path.is_dir():
        raise UserError(f"json={path} is a folder. Name a file: json={path / JSON_FILE}")
    write(path, specification(workspace(settings), report(settings)))
    return path
