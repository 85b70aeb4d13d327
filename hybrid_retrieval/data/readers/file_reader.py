"""A reader of published files: which file holds which language, and a function that makes rows of them."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from hybrid_retrieval.data.file_hashes import HashFile, sha256_of
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.language_files import content_fingerprint
from hybrid_retrieval.data.readers.table_files import TableFile
from hybrid_retrieval.errors import UserError

LocatedRow = tuple[str, Row]
Parse = Callable[[Sequence[TableFile], str], Iterator[LocatedRow]]


class FileReader:
    """Rows of a data set whose files are known.

    Args:
        name: of the data set.
        kind: of the reader, with a version of what `parse` makes of a file.
        files: the files of each language; a file may hold several.
        parse: yields place and row of the files of a language.
        options: what `parse` depends on besides.
    """

    def __init__(
        self,
        name: str,
        kind: str,
        files: Mapping[str, Sequence[TableFile]],
        parse: Parse,
        options: Mapping[str, object] | None = None,
    ) -> None:
        self.name = name
        self._kind = kind
        self._files = {language: files[language] for language in sorted(files)}
        self._parse = parse
        self._options = dict(options or {})

    def languages(self) -> list[str]:
        """The language codes, sorted."""
        return list(self._files)

    def fingerprint(self, hash_file: HashFile = sha256_of) -> str:
        """SHA-256 of the files and of the options."""
        options = {**self._options, "languages": self.languages()}
        files = {file.name: file.path for files in self._files.values() for file in files}
        return content_fingerprint(self._kind, options, dict(sorted(files.items())), hash_file)

    def rows(self, language: str) -> Iterator[Row]:
        """Yield the rows of a language, in the order of the files.

        Raises:
            UserError: a row is malformed; the message names file and place.
        """
        for _, row in self._parse(self._files[language], language):
            yield row

    def where(self, language: str, row_id: str) -> str:
        """File and places of the rows with this id, for messages."""
        located = self._parse(self._files[language], language)
        return ", ".join(where for where, row in located if row.id == row_id)


def wanted_files(
    files: Mapping[str, Sequence[TableFile]], languages: Sequence[str] | None, name: str, layout: str
) -> dict[str, Sequence[TableFile]]:
    """The files of the languages wanted.

    Args:
        files: of each language.
        languages: wanted, or None for all.
        name: of the data set, for messages.
        layout: the files in words.

    Raises:
        UserError: there are no files, or a language is not there.
    """
    if not files:
        raise UserError(f"{name} holds no {layout}.")
    missing = sorted(set(languages or ()) - set(files))
    if missing:
        raise UserError(
            f"{name} has no data in {', '.join(missing)}: it has {', '.join(sorted(files))}. Choose "
            "data.options.languages among them."
        )
    return {code: files[code] for code in files if languages is None or code in languages}
