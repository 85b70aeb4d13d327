"""Folders with one text file a language: finding the files, decoding and hashing them."""

import gzip
import hashlib
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hybrid_retrieval.data.file_hashes import HashFile
from hybrid_retrieval.data.readers.fields import json_fault
from hybrid_retrieval.data.readers.input_file import (
    LARGEST_WHOLE,
    LONGEST_LINE,
    cannot_be_read,
    check_input,
    line_too_long,
    open_input,
)
from hybrid_retrieval.errors import UserError

_LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]{2,8})*")
_BOM = b"\xef\xbb\xbf"
_GZIP = b"\x1f\x8b"
_DAMAGED = (EOFError, gzip.BadGzipFile, zlib.error)


def find_language_files(folder: Path, suffix: str, languages: Sequence[str] | None) -> dict[str, Path]:
    """The file of each language, by language code, sorted.

    A file is named after its language: an ISO 639 code in lower case, with a region or script where one is
    needed: `en`, `ast`, `pt-br`, `sr-latn`, `zh-hant`.

    Args:
        folder: where LANG.suffix and LANG.suffix.gz lie.
        suffix: `jsonl` or `json`.
        languages: the languages wanted, or None for all files of the folder.

    Raises:
        UserError: no such folder or no such files, a wanted language without one, a language with two, or a
            file that is not named after a language while all are wanted.
    """
    what = f"LANG.{suffix} or LANG.{suffix}.gz, such as en.{suffix}"
    if not folder.is_dir():
        found = "is not a folder" if folder.exists() else "does not exist"
        raise UserError(f"data.path={folder} {found}. Name a folder that holds {what}.")
    files: dict[str, Path] = {}
    for path in sorted(folder.iterdir()):
        name = path.name.removesuffix(".gz")
        if name.startswith(".") or not name.endswith(f".{suffix}") or not path.is_file():
            continue
        code = name.removesuffix(f".{suffix}")
        if code in files:
            raise UserError(f"{folder} holds both {files[code].name} and {path.name}. Remove one of them.")
        files[code] = path
    if not files:
        raise UserError(f"data.path={folder} holds no {what}.{_hint(folder, suffix)}")
    if languages is None:
        for code, path in files.items():
            if not _LANGUAGE.fullmatch(code):
                raise UserError(
                    f"{path}: {code!r} is not a language code in lower case, such as en, pt-br or zh-hant. "
                    "Rename the file, move it elsewhere, or name the languages with data.languages=[...]."
                )
        return files
    if isinstance(languages, str) or not languages:
        raise UserError(f"data.languages must be a list such as [de,en], or null for all; not {languages!r}.")
    missing = sorted(set(languages) - set(files))
    if missing:
        raise UserError(
            f"{folder} has no file for the language {', '.join(missing)}: looked for {missing[0]}.{suffix} "
            f"and {missing[0]}.{suffix}.gz. It has {', '.join(files)}: choose data.languages among them."
        )
    return {code: files[code] for code in sorted(set(languages))}


def _hint(folder: Path, suffix: str) -> str:
    within = sorted({path.parent.name for path in folder.glob(f"*/*.{suffix}*")})
    return f" These folders in it do: {', '.join(within[:20])}." if within else ""


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the number, from 1, and the text of each line that is not blank.

    A UTF-8 byte order mark at the start is dropped.

    Raises:
        UserError: the file cannot be read, is not UTF-8, has a line of more than `LONGEST_LINE` bytes, or its
            compression is damaged; names file, line and byte offset.
    """
    for number, text in enumerate(iter_lines(path), start=1):
        if text.strip():
            yield number, text


def iter_lines(path: Path) -> Iterator[str]:
    """Yield each line, blank ones too, with its line end; as `read_lines` otherwise."""
    number, offset = 0, 0
    try:
        with open_input(path) as file:
            for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), start=1):
                if len(line) == LONGEST_LINE and line[-1:] != b"\n":
                    raise line_too_long(path, number)
                yield decode(line, path, number, offset)
                offset += len(line)
    except _DAMAGED as error:
        raise _compression_error(path, number + 1, error) from None
    except OSError as error:
        raise cannot_be_read(path, error) from None


def read_text(path: Path) -> str:
    """The whole text of a file, without a byte order mark.

    Raises:
        UserError: the file has more than `LARGEST_WHOLE` bytes; otherwise as `read_lines`, but that lines may
            be of any length.
    """
    texts: list[str] = []
    offset = 0
    try:
        with open_input(path) as file:
            while line := file.readline(LARGEST_WHOLE + 1 - offset):
                texts.append(decode(line, path, len(texts) + 1, offset))
                offset += len(line)
                if offset > LARGEST_WHOLE:
                    raise UserError(
                        f"{path}: more than {LARGEST_WHOLE >> 30} GiB, which would be held in memory several "
                        "times. Divide it into several data sets, or write it as JSON lines."
                    )
    except _DAMAGED as error:
        raise _compression_error(path, len(texts) + 1, error) from None
    except OSError as error:
        raise cannot_be_read(path, error) from None
    return "".join(texts)


def read_json(path: Path) -> Any:
    """The JSON value that a file holds.

    Raises:
        UserError: it is no JSON, or as `read_lines`.
    """
    try:
        return json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"{path}:{error.lineno}: not JSON: {error.msg} (column {error.colno}). The file may be cut off: "
            "get it again, or correct the line."
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f"{path}:1: not JSON that can be read: {json_fault(error)}. Get the file again."
        ) from None


def decode(line: bytes, path: Path, number: int, offset: int) -> str:
    """Decode a line of UTF-8.

    Args:
        line: the bytes.
        path: the file, for the message.
        number: number of the line, from 1.
        offset: offset of the line in the uncompressed file.

    Raises:
        UserError: it is not UTF-8.
    """
    start = line.removeprefix(_BOM) if offset == 0 else line
    try:
        return start.decode("utf-8")
    except UnicodeDecodeError as error:
        if offset == 0 and line.startswith(_GZIP):
            raise UserError(f"{path}:1: the file is compressed. Rename it to {path.name}.gz.") from None
        at = offset + len(line) - len(start) + error.start
        raise UserError(
            f"{path}:{number}: not UTF-8: byte 0x{start[error.start]:02x} at offset {at}. Convert the file "
            f"to UTF-8, for example with iconv -f ENCODING -t UTF-8, or repair the line if only it is wrong."
        ) from None


def content_fingerprint(
    kind: str, options: Mapping[str, object], files: Mapping[str, Path], hash_file: HashFile
) -> str:
    """SHA-256 over the kind of the reader, its options, and the names and contents of the files.

    Args:
        kind: of the reader, with a version of what it makes of a file.
        options: of the reader, that its rows depend on.
        files: by language, or by name in the source.
        hash_file: hex digest of a file.
    """
    digest = hashlib.sha256(json.dumps([kind, options, list(files)], sort_keys=True).encode())
    for path in files.values():
        check_input(path)
        digest.update(bytes.fromhex(hash_file(path)))
    return digest.hexdigest()


def _compression_error(path: Path, line: int, error: Exception) -> UserError:
    if isinstance(error, EOFError):
        reason = "the gzip data ends in the middle"
    elif isinstance(error, gzip.BadGzipFile) and "Not a gzipped file" in str(error):
        reason = "the file is not compressed by gzip, as its name says"
    else:
        reason = f"the gzip data is damaged ({error})"
    return UserError(f"{path}:{line}: {reason}. Get the file again, or check it with gzip -t.")
