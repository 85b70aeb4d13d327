"""The reader of any table, the user's own or of the hub, by the names of its columns."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from hybrid_retrieval.cache import cache_folder
from hybrid_retrieval.data.file_hashes import HashFile, remembered, sha256_of
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.columns import LANGUAGE, Columns
from hybrid_retrieval.data.readers.distinct_values import distinct_values
from hybrid_retrieval.data.readers.language_codes import is_language, language_code
from hybrid_retrieval.data.readers.language_files import content_fingerprint
from hybrid_retrieval.data.readers.records import Format, column_names, file_format, read_records
from hybrid_retrieval.data.readers.row_spool import RowSpool, TableRow
from hybrid_retrieval.data.readers.table_files import Files, TableFile, find_tables
from hybrid_retrieval.errors import UserError

WORTH_REMEMBERING = 1 << 24  # bytes, a tenth of a second of reading
_Table: TypeAlias = dict[str, list[tuple[TableFile, str]]]


class TableReader:
    """Rows from tables, whose columns `data.options.columns` names (`Columns`).

    A table has its languages in one of four ways:

    - a file, or a folder of files, a language (`en.csv`, `en/train-00000-of-00001.parquet`), named after it
      or found by `{language}` in `files` (`find_tables`);
    - a column that says the row's language (`columns.language`);
    - side by side, in wide form: `columns.question=question_{language}`; a row lacks a language in which its
      question or its passage is empty;
    - one language in all, `language`.

    Equal ids are translations of each other. `columns.id=null` numbers the rows, which a table in wide form
    or in one language allows. Without passage ids, equal passages of a table in one language are one passage,
    and in several languages each row has its own: name `columns.passage_id` where rows share passages.

    The files of a table with a language column are read once for all languages (`RowSpool`).

    Args:
        root: a folder, or one file.
        languages: ISO 639-1 codes to read, or None for all.
        name: of the data set.
        formats: of the files.
        columns: `data.options.columns`.
        files: `data.options.files`: patterns, see `find_tables`.
        language: of a table in one language.
        language_codes: what the source's names of languages stand for, where `language_code` cannot know.
        quotes: whether fields of CSV and TSV may be quoted; None: of CSV.

    Raises:
        UserError: an option or the files are not as described.
    """

    def __init__(
        self,
        root: Path,
        languages: Sequence[str] | None,
        *,
        name: str,
        formats: Sequence[Format],
        columns: Mapping[str, object],
        files: Files | None = None,
        language: str | None = None,
        language_codes: Mapping[str, str] | None = None,
        quotes: bool | None = None,
    ) -> None:
        if quotes is not None and not isinstance(quotes, bool):
            raise UserError(f"data.options.quotes must be true, false or null, not {quotes!r}.")
        self.name = name
        self._columns = Columns.of(columns)
        self._files = find_tables(root, formats, files)
        self._language = language
        self._codes = dict(language_codes or {})
        self._quotes = quotes
        self._wanted = languages
        self._of_language: _Table | None = None
        self._spool: RowSpool | None = None
        self.options = {
            "columns": dict(columns),
            "files": [(file.name, file.language, file.split) for file in self._files],
            "language": language,
            "language_codes": self._codes,
            "quotes": quotes,
            "languages": sorted(languages) if languages else None,
        }
        self._check_one_way(root)

    def languages(self) -> list[str]:
        """The language codes, sorted.

        Raises:
            UserError: a language has no code, or a wanted one is not there.
        """
        return sorted(self._table_of_languages())

    def fingerprint(self, hash_file: HashFile = sha256_of) -> str:
        """SHA-256 of the files and of the options."""
        files = {file.name: file.path for file in self._files}
        return content_fingerprint("table 1", self.options, files, hash_file)

    def rows(self, language: str) -> Iterator[Row]:
        """Yield the rows of a language, in the order of the files.

        Raises:
            UserError: a row is malformed; the message names file and place.
        """
        for found in self._rows(language):
            yield found.row

    def where(self, language: str, row_id: str) -> str:
        """File and places of the rows with this id, for messages."""
        return ", ".join(found.where for found in self._rows(language) if found.row.id == row_id)

    @property
    def has_language_column(self) -> bool:
        """Whether the rows state their language, so that a file is read for all languages at once."""
        return self._columns.language is not None

    def rows_with_negatives(self, language: str) -> Iterator[tuple[Row, list[str]]]:
        """Yield the rows of a language with the texts of their hard negatives (`columns.negative_texts`).

        Raises:
            UserError: as `rows`.
        """
        return ((found.row, found.negatives) for found in self._rows(language))

    def files_of(self, language: str) -> list[Path]:
        """The files that hold a language."""
        return [file.path for file, _ in self._table_of_languages()[language]]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_spool": None}  # files that the process has open

    def _rows(self, language: str) -> Iterator[TableRow]:
        if self._columns.language is None:
            for file, own_name in self._table_of_languages()[language]:
                yield from (row for _, row in self._rows_of(file, own_name))
        elif list(self._table_of_languages()) == [language]:
            yield from (row for _, row in self._all_rows())
        else:
            if self._spool is None:
                self._spool = RowSpool(self._all_rows())
            yield from self._spool.rows(language)

    def _all_rows(self) -> Iterator[tuple[str, TableRow]]:
        """The rows of the wanted languages of a table with a language column, with their languages."""
        read = {file.name: file for files in self._table_of_languages().values() for file, _ in files}
        for name in sorted(read):
            yield from self._rows_of(read[name], None)

    def _rows_of(self, file: TableFile, own_name: str | None) -> Iterator[tuple[str, TableRow]]:
        """Language and row, in order; without a name of the language, those that the rows state."""
        wanted = self._table_of_languages()
        columns = self._columns
        if columns.wide and own_name is not None:
            columns = columns.of_language(own_name)
        # The fields of JSON may differ from row to row.
        tops = None if file_format(file.path) in ("json", "jsonl") else columns.tops(self._names(file))
        for number, (where, record) in enumerate(read_records(file.path, tops, quotes=self._quotes), start=1):
            if self._columns.wide and not columns.has_texts(record):
                continue
            language = "" if columns.language is None else self._said(record, where)
            if columns.language is not None and language not in wanted:
                continue
            row_id = f"{file.name}:{number}" if columns.id is None else None
            row = columns.row(record, where, row_id, by_text=len(wanted) == 1)
            if row.split is None and file.split is not None:
                row = Row(row.id, row.question, row.passage, row.passage_id, row.negatives, file.split)
            yield language, TableRow(where, row, columns.negatives_of(record, where))

    def _check_one_way(self, root: Path) -> None:
        """Exactly one of the ways to tell the language must hold, and ids must be where they are needed."""
        columns, by_file = self._columns, [file for file in self._files if file.language is not None]
        ways = {
            f"data.options.language={self._language}": self._language is not None,
            f"data.options.columns.language={columns.language}": columns.language is not None,
            f"data.options.columns.question={columns.question}": columns.wide,
        }
        said = [way for way, holds in ways.items() if holds]
        if len(said) > 1:
            raise UserError(f"{' and '.join(said)} both say what the language is. Set one of them.")
        if not said and len(by_file) < len(self._files):
            nameless = next(file for file in self._files if file.language is None)
            raise UserError(
                f"{nameless.path}: its name does not say its language. Set data.options.language=en, or name "
                "the column with the language (data.options.columns.language), or the columns of each "
                "language ('data.options.columns.question=\"question_{language}\"', and passage), or call "
                "the files en.csv, de.csv, ..., or en/train.csv, or give a pattern such as "
                "'data.options.files=\"{language}_train.csv\"'."
            )
        if columns.id is None and not columns.wide and self._language is None:
            raise UserError(
                f"data.path={root}: data.options.columns.id=null, but the languages are joined on it. Name "
                "the column of the id, which a row and its translations share."
            )

    def _table_of_languages(self) -> _Table:
        """The files of each language, with the language's name there."""
        if self._of_language is None:
            found: _Table = {}
            for file in self._files:
                names: dict[str, None] = dict.fromkeys(self._names_of_languages(file))
                codes: dict[str, str] = {}
                for own_name in names:
                    code = language_code(own_name, str(file.path), self._codes)
                    if codes.setdefault(code, own_name) != own_name and self._columns.language is None:
                        raise UserError(
                            f"{file.path}: {codes[code]!r} and {own_name!r} are both {code}. Say which is "
                            "which in data.options.language_codes."
                        )
                for code, own_name in codes.items():
                    found.setdefault(code, []).append((file, own_name))
            self._of_language = self._chosen(found)
        return self._of_language

    def _names_of_languages(self, file: TableFile) -> Iterator[str]:
        if self._language is not None:
            yield self._language
        elif self._columns.wide:
            yield from self._wide_languages(file)
        elif (column := self._columns.language) is not None:
            yield from self._stated_languages(file.path, column)
        elif file.language is not None:
            yield file.language

    def _stated_languages(self, path: Path, column: str) -> list[str]:
        """The distinct values of the language column; of a large file, remembered in the cache."""

        def find() -> list[str]:
            distinct = distinct_values(path, column, quotes=self._quotes)
            if distinct is not None and all(is_language(own_name, self._codes) for own_name in distinct):
                return distinct
            seen: dict[str, None] = {}
            for where, record in read_records(path, [column], quotes=self._quotes):
                own_name = self._stated(record, where)
                if own_name not in seen:
                    seen[own_name] = None
                    language_code(own_name, where, self._codes)
            return list(seen)

        folder = cache_folder() / "table-languages" if path.stat().st_size >= WORTH_REMEMBERING else None
        return remembered(folder, path, json.dumps([column, self._quotes]), find)

    def _stated(self, record: Mapping[str, object], where: str) -> str:
        column = self._columns.language
        assert column is not None
        value = record.get(column)
        if not isinstance(value, str) or not value.strip():
            raise UserError(f"{where}: {column!r} must hold the code of a language, not {value!r}. Fill it.")
        return value

    def _said(self, record: Mapping[str, object], where: str) -> str:
        return language_code(self._stated(record, where), where, self._codes)

    def _wide_languages(self, file: TableFile) -> Iterator[str]:
        """The languages of the columns with questions; other columns that look like one are passed over."""
        names = set(self._names(file))
        before, after = self._columns.question.split(LANGUAGE, 1)
        found = {}
        for column in sorted(names - set(self._columns.shared())):
            own_name = column[len(before) : len(column) - len(after)]
            if column == f"{before}{own_name}{after}" and is_language(own_name, self._codes):
                found[column] = own_name, self._columns.of_language(own_name).passage
        passages = {passage for _, passage in found.values()}
        for column, (own_name, passage) in found.items():
            if column in passages:
                continue
            if passage not in names:
                raise UserError(
                    f"{file.path}: has the column {column!r}, but not {passage!r}. Add it, or correct "
                    "data.options.columns.passage."
                )
            yield own_name

    def _names(self, file: TableFile) -> list[str]:
        return column_names(file.path, quotes=self._quotes)

    def _chosen(self, found: _Table) -> _Table:
        if not found:
            raise UserError(
                f"{self._files[0].path}: no language found: {self._columns.question!r} is the name of no "
                "column, or there are no rows. Correct data.options.columns."
            )
        if self._wanted is None:
            return found
        missing = sorted(set(self._wanted) - set(found))
        if missing:
            raise UserError(
                f"{self.name} has no data in {', '.join(missing)}: it has {', '.join(sorted(found))}. Choose "
                "data.options.languages among them."
            )
        return {code: files for code, files in found.items() if code in self._wanted}
