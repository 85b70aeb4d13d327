"""Names in the files of others that become names of files here: none may lead out of its folder."""

import re
from pathlib import PurePosixPath


def is_file_name(name: object) -> bool:
    """Whether a text names a file in a folder, and nothing above it or below: `en`, `my faq`, not `../x`."""
    return (
        isinstance(name, str)
        and name not in ("", ".", "..")
        and not re.match("[A-Za-z]:", name)  # a drive of Windows
        and not any(c in "/\\" or not c.isprintable() for c in name)
    )


def is_inside(path: str) -> bool:
    """Whether a relative path with slashes stays in the folder it is relative to: `passages/en.arrow`."""
    return bool(path) and path == PurePosixPath(path).as_posix() and all(map(is_file_name, path.split("/")))
