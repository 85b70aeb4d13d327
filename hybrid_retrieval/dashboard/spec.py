"""A dashboard as JSON: what W&B would get."""

import json
from pathlib import Path
from typing import Any

import wandb_workspaces.workspaces as ws
from wandb_workspaces.reports.v2 import interface as wr

from hybrid_retrieval.atomic_file import atomic_file

SCHEMA = 1


def specification(workspace: ws.Workspace, report: wr.Report) -> dict[str, Any]:
    """Both views, the same for the same settings.

    Returns:
        `schema`, `workspace` and `report`; a view has `project`, `displayName` and `spec`, which is what W&B
        keeps of it.
    """
    return {"schema": SCHEMA, "workspace": _plain(workspace), "report": _plain(report)}


def write(path: Path, content: dict[str, Any]) -> None:
    """Write the specification at once or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as new:
        new.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _plain(view: ws.Workspace | wr.Report) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(view._to_model().model_dump_json(by_alias=True, exclude_none=True))
    return plain
