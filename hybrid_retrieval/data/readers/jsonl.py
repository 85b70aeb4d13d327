"""The reader of a folder of JSON lines, one file a language."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from hybrid_retrieval.data.file_hashes import HashFile, sha256_of
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.fields import (
    id_field,
    id_list_field,
    parse_object,
    split_field,
    text_field,
)
from hybrid_retrieval.data.readers.language_files import content_fingerprint, find_language_files, read_lines
from hybrid_retrieval.errors import UserError

_EXAMPLE = ' such as {"id": "1", "question": "...", "passage": "..."}'
_OPTIONAL = ("passage_id", "split", "page_title")


class JsonlReader:
    """Rows from LANG.jsonl or LANG.jsonl.gz: one JSON object a line, UTF-8, with or without byte order mark.

    Fields: `id` (equal ids in two languages are translations of each other), `question`, `passage`; and,
    optionally, `passage_id` (default: the id; a question with several positives is a row for each, of one id
    and one question, with a `passage_id` each), `negatives` (passage ids of hard negatives, which other rows
    define), `split` (`train`, `validation` or `dev`, `test`) and `page_title`. Ids may be integers, which
    stand for their digits. An optional field may be null. Other fields are ignored, blank lines too.

    Args:
        path: the folder.
        languages: the languages to read, or None for every file.
        title: put `page_title` and a dash before a question that differs from it, for headings that are
            ambiguous alone.
        passage_variants: what to do where rows of one language give one `passage_id` different texts, as
            machine translation of each row on its own does: "error" leaves it to `build_corpus`, which
            stops; "first" uses the text of the first row for all.

    Raises:
        UserError: an option, the folder or its files are not as described.
    """

    def __init__(
        self,
        path: str | Path,
        languages: Sequence[str] | None = None,
        *,
        title: bool = False,
        passage_variants: Literal["error", "first"] = "error",
    ) -> None:
        if not isinstance(title, bool):
            raise UserError(f"data.options.title must be true or false, not {title!r}.")
        if passage_variants not in ("error", "first"):
            raise UserError(
                f"data.options.passage_variants must be error or first, not {passage_variants!r}."
            )
        self._files = find_language_files(Path(path), "jsonl", languages)
        self._title = title
        self._passage_variants = passage_variants
        self.name = Path(path).resolve().name

    def languages(self) -> list[str]:
        """The language codes, sorted."""
        return list(self._files)

    def fingerprint(self, hash_file: HashFile = sha256_of) -> str:
        """SHA-256 of the files and of the options."""
        options = {"title": self._title, "passage_variants": self._passage_variants}
        return content_fingerprint("jsonl 1", options, self._files, hash_file)

    def rows(self, language: str) -> Iterator[Row]:
        """Yield the rows of a language, in the order of its file.

        Raises:
            UserError: a row is malformed.
        """
        texts: dict[str, str] = {}
        path = self._files[language]
        number = 0
        for number, line in read_lines(path):
            row = self._row(line, f"{path}:{number}")
            if self._passage_variants == "first":
                text = texts.setdefault(row.passage_id, row.passage)
                row = (
                    row
                    if text == row.passage
                    else Row(row.id, row.question, text, row.passage_id, row.negatives, row.split)
                )
            yield row
        if number == 0:
            raise UserError(f"{path}:1: the file has no rows. Fill it or remove it.")

    def where(self, language: str, row_id: str) -> str:
        """File and line numbers of the rows with this id, for messages."""
        path = self._files[language]
        numbers = [
            str(number)
            for number, line in read_lines(path)
            if self._row(line, f"{path}:{number}").id == row_id
        ]
        return f"{path}:{','.join(numbers)}"

    def _row(self, line: str, where: str) -> Row:
        record = parse_object(line, where, _EXAMPLE)
        for field in _OPTIONAL:
            if record.get(field, "") is None:
                del record[field]
        row_id = id_field(record, "id", where)
        question = text_field(record, "question", where)
        if self._title and "page_title" in record:
            page_title = text_field(record, "page_title", where)
            question = question if page_title == question else f"{page_title} — {question}"
        return Row(
            id=row_id,
            question=question,
            passage=text_field(record, "passage", where),
            passage_id=id_field(record, "passage_id", where) if "passage_id" in record else row_id,
            negatives=id_list_field(record, "negatives", where),
            split=split_field(record, "split", where),
        )
