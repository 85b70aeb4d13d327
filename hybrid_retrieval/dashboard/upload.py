"""Upload a dashboard to Weights & Biases; tested against a server of the tests' own, not against wandb.ai."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hybrid_retrieval.dashboard.settings import DashboardSettings
from hybrid_retrieval.errors import RunFailedError, UserError

_REFUSED = (401, 403)


@dataclass(frozen=True)
class Uploaded:
    """Where a dashboard is.

    Attributes:
        workspace: address.
        report: address.
        runs: how many runs it has by now.
    """

    workspace: str
    report: str
    runs: int


def has_login() -> bool:
    """Whether there is a key for W&B's server: in WANDB_API_KEY, a netrc file or W&B's settings.

    Raises:
        UserError: the key has not the form of one.
    """
    import wandb  # noqa: PLC0415 - half a second to import
    from wandb.sdk.lib import wbauth  # noqa: PLC0415

    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    settings = wandb.setup().settings
    try:
        return bool(settings.api_key or wbauth.read_netrc_auth(host=_server()))
    except wandb.errors.AuthenticationError as error:
        raise UserError(
            f"the key for {_server()} in the netrc file is none: {error}. Run: wandb login"
        ) from error


def upload(settings: DashboardSettings, *, timeout: int) -> Uploaded:
    """Make a new workspace view and a new report.

    Args:
        settings: of the dashboard.
        timeout: seconds to wait for an answer.

    Raises:
        UserError: W&B does not know the key or the project.
        RunFailedError: the server was not reached, or did not do it.
    """
    from hybrid_retrieval.dashboard.views import report, workspace  # noqa: PLC0415

    with _quiet(), _failures(timeout), _waiting(timeout) as api:
        entity = settings.entity or api.default_entity
        if not entity:
            raise UserError("the login has no default entity. Name a user or a team: entity=...")
        settings = settings.with_entity(entity)
        runs = _count_runs(api, settings)
        view, text = workspace(settings), report(settings)
        view.save()  # type: ignore[no-untyped-call]
        text.save()
        return Uploaded(view.url, text.url, runs)


@contextlib.contextmanager
def _waiting(timeout: int) -> Iterator[Any]:
    """W&B's client, and its package's further ones, wait so long for each answer."""
    import wandb  # noqa: PLC0415

    before = wandb.Api._HTTP_TIMEOUT
    wandb.Api._HTTP_TIMEOUT = timeout
    try:
        yield wandb.Api()
    finally:
        wandb.Api._HTTP_TIMEOUT = before


def _count_runs(api: Any, settings: DashboardSettings) -> int:
    filters: dict[str, Any] = {}
    if settings.groups:
        filters["group"] = {"$in": list(settings.groups)}
    if settings.tags:
        filters["tags"] = {"$all": list(settings.tags)}
    path = f"{settings.entity}/{settings.project}"
    try:
        return len(api.runs(path, filters=filters, per_page=1))
    except ValueError as error:
        raise UserError(
            f"W&B has no project {path}, or the login may not see it. Upload the runs first (wandb sync, see "
            "summary.md of a run), or name another one: entity=... project=..."
        ) from error


@contextlib.contextmanager
def _failures(timeout: int) -> Iterator[None]:
    """Tell what went wrong in one message, without the key."""
    import wandb  # noqa: PLC0415

    try:
        yield
    except UserError:
        raise
    except Exception as error:  # the client raises plain ones, too
        reason = _without_key((str(error).splitlines() or [type(error).__name__])[0])
        if isinstance(error, wandb.errors.AuthenticationError) and error.__cause__ is None:
            raise UserError(f"{reason} Set another one, or run: wandb login") from error
        if _status(error) in _REFUSED:
            raise UserError(
                f"{_server()} does not accept the login, or it may not write there. Run: wandb login "
                f"--relogin. W&B says: {reason}"
            ) from error
        raise RunFailedError(
            f"{_server()} was not reached, or did not answer as it should within {timeout} seconds: {reason}"
        ) from error


def _status(error: BaseException) -> int | None:
    """The HTTP status that an error came from, if a server answered."""
    seen: BaseException | None = error
    while seen is not None:
        status = getattr(getattr(seen, "response", None), "http_status", None)
        if status:
            return int(status)
        seen = seen.__cause__
    return None


def _without_key(text: str) -> str:
    key = os.environ.get("WANDB_API_KEY", "")
    return text.replace(key, "(hidden)") if key else text


def _server() -> str:
    import wandb  # noqa: PLC0415

    return str(os.environ.get("WANDB_BASE_URL") or wandb.setup().settings.base_url)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """W&B prints addresses and advice of its own."""
    before = os.environ.get("WANDB_SILENT")
    os.environ["WANDB_SILENT"] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ["WANDB_SILENT"]
        else:
            os.environ["WANDB_SILENT"] = before
