"""Rows of many languages in one file, set apart by language in one reading."""

import errno
import json
import mmap
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO

from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class TableRow:
    """A row of a table.

    Attributes:
        where: its place, for messages.
        row: what it holds.
        negatives: the texts of its hard negatives.
    """

    where: str
    row: Row
    negatives: list[str]


class RowSpool:
    """Keeps rows in a temporary file a language, which the system removes with the process.

    The files are about as large as the texts, and lie where Python puts temporary files (`TMPDIR`); memory
    holds a row.

    Args:
        rows: language and row, in the order of the source.

    Raises:
        UserError: there is no room for them; or what `rows` raises.
    """

    def __init__(self, rows: Iterable[tuple[str, TableRow]]) -> None:
        self._pages: dict[str, mmap.mmap] = {}
        files: dict[str, IO[bytes]] = {}
        try:
            with ExitStack() as opened:
                for language, row in rows:
                    if language not in files:
                        files[language] = opened.enter_context(tempfile.TemporaryFile())
                    files[language].write(_line(row))
                for language, file in files.items():
                    file.flush()
                    self._pages[language] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise UserError(
                f"{tempfile.gettempdir()}: {error.strerror}. The rows of a file with a column for the "
                "language are set apart there: name a folder with more room in the variable TMPDIR."
            ) from error

    def rows(self, language: str) -> Iterator[TableRow]:
        """Yield the rows of a language, in the order of the source."""
        pages = self._pages.get(language)
        start = 0
        while pages is not None and (end := pages.find(b"\n", start)) >= 0:
            yield _row(pages[start:end])
            start = end + 1


def _line(found: TableRow) -> bytes:
    row = found.row
    values = [
        found.where,
        row.id,
        row.question,
        row.passage,
        row.passage_id,
        row.negatives,
        row.split,
        found.negatives,
    ]
    return json.dumps(values).encode() + b"\n"


def _row(line: bytes) -> TableRow:
    where, row_id, question, passage, passage_id, negatives, split, texts = json.loads(line)
    return TableRow(where, Row(row_id, question, passage, passage_id, tuple(negatives), split), texts)
