"""Other file systems, through fsspec: finding the driver, and one message for what a driver raises."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import fsspec  # type: ignore[import-untyped]

from hybrid_retrieval.errors import UserError

_PACKAGES = {
    "s3": "s3fs",
    "s3a": "s3fs",
    "gs": "gcsfs",
    "gcs": "gcsfs",
    "az": "adlfs",
    "abfs": "adlfs",
    "abfss": "adlfs",
    "oss": "ossfs",
    "http": "fsspec[http]",
    "https": "fsspec[http]",
    "sftp": "paramiko",
    "ssh": "paramiko",
}


def open_store(url: str) -> tuple[Any, str]:
    """The file system of an address.

    Args:
        url: such as s3://bucket/corpora/name.

    Returns:
        Of fsspec, and the path in it.

    Raises:
        UserError: its driver is not installed, or there is none.
    """
    protocol = url.partition("://")[0].rpartition("::")[2]
    try:
        filesystem, root = fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = _PACKAGES.get(protocol)
        how = f"Run `pip install '{package}'`." if package else f"{error}."
        raise UserError(f"data.path={url}: no driver for {protocol}:// is installed. {how}") from None
    except ValueError as error:
        raise UserError(
            f"data.path={url} cannot be opened: {error}. Name a folder, or a URL such as "
            "s3://bucket/corpora/name or gs://bucket/corpora/name."
        ) from None
    return filesystem, str(root).rstrip("/")


@contextmanager
def reachable(where: str) -> Iterator[None]:
    """Turn what a driver raises into one message; errors of the local disk pass.

    Args:
        where: what is read, for the message.

    Raises:
        UserError: a driver has raised something.
    """
    try:
        yield
    except UserError:
        raise
    except Exception as error:  # every driver has its own kinds
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
            raise
        reason = next(iter(str(error).splitlines()), "") or "no reason given"
        raise UserError(
            f"{where}: cannot be read ({type(error).__name__}: {reason}). Check the address, the credentials "
            "and the connection; a run goes on with the files that were copied."
        ) from error
