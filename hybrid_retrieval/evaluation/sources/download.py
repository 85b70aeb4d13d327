"""Fetch one pinned file: resumed where it was cut, and accepted only when its size and sha256 fit."""

import errno
import hashlib
import http.client
import os
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
    UnknownHandler,
)

from hybrid_retrieval import __version__
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.sources.catalogue import SourceFile, is_secure

CHUNK = 1 << 16
PARTIAL = 206
RANGE_NOT_SATISFIABLE = 416
WORTH_RETRYING = frozenset({408, 425, 429, 500, 502, 503, 504})
LONGEST_WAIT = 60.0


@dataclass(frozen=True)
class Patience:
    """How long a server is waited for.

    Attributes:
        timeout: seconds without a byte after which a connection counts as dead.
        attempts: connections tried for one file, each resuming the one before.
        backoff: seconds before the second attempt; doubled for each further one.
    """

    timeout: float = 20.0
    attempts: int = 5
    backoff: float = 1.0


class StoppedError(Exception):
    """The download was told to stop; what it has received is kept for the next time."""


class _TryAgainError(Exception):
    """The connection failed in a way that another attempt may mend."""

    def __init__(self, reason: str, wait: float = 0.0) -> None:
        super().__init__(reason)
        self.wait = wait


class _Redirects(HTTPRedirectHandler):
    """Redirects, as long as they stay on https."""

    def redirect_request(  # noqa: PLR0917
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: http.client.HTTPMessage, newurl: str
    ) -> Request | None:
        old, new = urlsplit(req.full_url), urlsplit(newurl)
        same_server = (old.scheme, old.netloc) == (new.scheme, new.netloc)
        if new.scheme != "https" and not (same_server and is_secure(newurl)):
            raise UserError(
                f"{req.full_url} redirects to {newurl}, which is not https: not followed. Is a login page of "
                "the network in between? Otherwise get the file by hand and set benchmark.path."
            )
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    file: SourceFile,
    folder: Path,
    *,
    patience: Patience,
    received: Callable[[int], None] = lambda held: None,
    stop: threading.Event | None = None,
) -> Path:
    """Fetch a file into `folder`, through the proxy that the environment names.

    The file appears under its name only when its size and sha256 are the pinned ones. Until then it is a
    hidden file beside it, from which a later call goes on. One process at a time may call this for a folder.

    Args:
        file: what to fetch.
        folder: an existing folder.
        patience: timeouts and retries.
        received: called with the bytes held so far, from this thread.
        stop: when set, the download ends with `StoppedError`.

    Returns:
        The path of the file.

    Raises:
        UserError: not reachable, refused by the server, not the pinned content, or the disk is full.
        StoppedError: `stop` was set.
    """
    stop = stop or threading.Event()
    part = folder / f".{file.name}.{file.sha256[:12]}.part"
    failure = _TryAgainError("")
    for attempt in range(patience.attempts):
        if attempt and stop.wait(max(patience.backoff * 2 ** (attempt - 1), failure.wait)):
            raise StoppedError
        try:
            resumed = _receive(file, part, patience.timeout, received, stop)
            if not _is_pinned(file, part, resumed):
                failure = _TryAgainError("what was received before the interruption was damaged")
                continue
            os.replace(part, folder / file.name)
        except _TryAgainError as error:
            failure = error
        except OSError as error:
            raise _disk_error(error, folder, file) from error
        else:
            return folder / file.name
    raise UserError(
        f"{file.url} could not be fetched in {patience.attempts} attempts: {failure}. Check the network "
        "connection (a proxy is taken from https_proxy) and run the command again, which goes on where it "
        "stopped; or get the file by hand and set benchmark.path."
    ) from failure


def sha256_of(path: Path) -> str:
    """The sha256 of a file, in hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _receive(
    file: SourceFile, part: Path, timeout: float, received: Callable[[int], None], stop: threading.Event
) -> bool:
    """Bring `part` to the pinned size, with one connection; whether it began with bytes of an earlier one."""
    held = part.stat().st_size if part.exists() else 0
    if held > file.size:
        held = 0
    received(held)
    if held == file.size:
        return True
    request = Request(file.url, headers={"User-Agent": f"hybrid-retrieval/{__version__}"})
    request.add_header("Accept-Encoding", "identity")
    if held:
        request.add_header("Range", f"bytes={held}-")
    with _open(request, timeout, part) as response:
        if response.status != PARTIAL:
            held = 0
        elif not response.headers.get("Content-Range", "").startswith(f"bytes {held}-"):
            part.unlink(missing_ok=True)
            raise _TryAgainError("the server resumed at another byte than it was asked for")
        resumed = held > 0
        length = response.headers.get("Content-Length", "")
        if length.isdecimal() and held + int(length) != file.size:
            raise _not_pinned(file, f"{held + int(length):,} bytes instead of {file.size:,}")
        # Unbuffered, so that a full disk shows here and not when the file is closed.
        with part.open("ab" if held else "wb", buffering=0) as out:
            while chunk := _read(response):
                if stop.is_set():
                    raise StoppedError
                held += len(chunk)
                if held > file.size:
                    part.unlink()
                    raise _not_pinned(file, f"more than {file.size:,} bytes")
                rest = memoryview(chunk)
                while rest:
                    rest = rest[out.write(rest) :]
                received(held)
    if held < file.size:
        raise _TryAgainError(f"the connection ended after {held:,} of {file.size:,} bytes")
    return resumed


def _open(request: Request, timeout: float, part: Path) -> http.client.HTTPResponse:
    opener = OpenerDirector()
    for handler in (
        ProxyHandler(),
        HTTPHandler(),
        HTTPSHandler(context=ssl.create_default_context()),
        _Redirects(),
        HTTPErrorProcessor(),
        HTTPDefaultErrorHandler(),
        UnknownHandler(),
    ):
        opener.add_handler(handler)
    url = request.full_url
    by_hand = "get the file by hand and set benchmark.path"
    try:
        response: http.client.HTTPResponse = opener.open(request, timeout=timeout)
    except HTTPError as error:
        with error:
            if error.code == RANGE_NOT_SATISFIABLE:
                part.unlink(missing_ok=True)
                raise _TryAgainError("the server refused to resume") from error
            if error.code in WORTH_RETRYING:
                wait = error.headers.get("Retry-After", "")
                seconds = min(float(wait), LONGEST_WAIT) if wait.isdecimal() else 0.0
                raise _TryAgainError(f"the server answered {error.code} {error.reason}", seconds) from error
            raise UserError(
                f"{url}: the server answered {error.code} {error.reason}. Check that the network lets the "
                f"request through, update hybrid-retrieval if the file has moved, or {by_hand}."
            ) from error
    except (URLError, OSError, http.client.HTTPException) as error:
        reason = error.reason if isinstance(error, URLError) else error
        if isinstance(reason, socket.gaierror):
            raise UserError(
                f"{url}: the host's name cannot be resolved ({reason.strerror}). Connect to the network, set "
                f"https_proxy if a proxy is needed, or {by_hand}."
            ) from error
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise UserError(
                f"{url}: the server's certificate is not trusted ({reason.verify_message}). If your network "
                f"has a certificate of its own, set SSL_CERT_FILE to it, or {by_hand}."
            ) from error
        raise _TryAgainError(_words(reason)) from error
    return response


def _read(response: http.client.HTTPResponse) -> bytes:
    """What has arrived, at most one chunk; empty at the end."""
    try:
        return response.read1(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _TryAgainError(_words(error)) from error


def _is_pinned(file: SourceFile, part: Path, resumed: bool) -> bool:
    """Whether the received file is the pinned one; removed if not. False asks for another, whole, try."""
    digest = sha256_of(part)
    if digest == file.sha256:
        return True
    part.unlink()
    if not resumed:
        raise _not_pinned(file, f"a file with sha256 {digest} instead of {file.sha256}")
    return False


def _not_pinned(file: SourceFile, served: str) -> UserError:
    return UserError(
        f"{file.url} serves {served}: it is not the pinned file, and was not accepted. Is a proxy or a login "
        "page of the network in between? Otherwise get the file by hand and set benchmark.path."
    )


def _disk_error(error: OSError, folder: Path, file: SourceFile) -> UserError:
    place = f"{file.name} cannot be written to {folder}: {error.strerror or error}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return UserError(
            f"{place}. Free {file.size:,} bytes, or choose another folder with paths.benchmarks=<folder>."
        )
    return UserError(f"{place}. Choose another folder with paths.benchmarks=<folder>.")


def _words(reason: object) -> str:
    if isinstance(reason, TimeoutError):
        return "the server stopped answering"
    return str(reason) or type(reason).__name__
