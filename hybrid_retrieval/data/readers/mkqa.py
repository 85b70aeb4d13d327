"""MKQA: 10,000 real questions in 26 languages, human translations, without passages.

Layouts, by their sources:

- `mkqa.jsonl.gz` of https://github.com/apple/ml-mkqa (folder `dataset`), one question a line:
  `{"example_id": ..., "query": ..., "queries": {"en": ..., "zh_cn": ...}, "answers": {...}}`;
- `mkqa-LANG.jsonl.gz`, as the MIA 2022 shared task redistributes a part: `{"id": "NUMBER_LANG", "lang": ...,
  "question": ..., "answers": [...]}`, where the number is shared by all languages.

The hub's `apple/mkqa` held a script and no data when last seen, so that nothing can be downloaded from it.
CC BY-SA 3.0. Source: Longpre et al., TACL 2021 (arXiv 2007.15207).
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.fields import id_field, object_of, text_field
from hybrid_retrieval.data.readers.file_reader import FileReader, LocatedRow, wanted_files
from hybrid_retrieval.data.readers.language_codes import language_code
from hybrid_retrieval.data.readers.language_files import find_language_files
from hybrid_retrieval.data.readers.records import read_records
from hybrid_retrieval.data.readers.table_files import TableFile
from hybrid_retrieval.errors import UserError

SOURCE = "https://github.com/apple/ml-mkqa/raw/main/dataset/mkqa.jsonl.gz"
LAYOUT = f"mkqa.jsonl[.gz] ({SOURCE}) or mkqa-LANG.jsonl[.gz]"
CODES = {"zh_cn": "zh"}
_PASSAGES = "passages"
_TOGETHER = ("mkqa.jsonl", "mkqa.jsonl.gz")

Passages = Mapping[str, tuple[str, str]]


def mkqa(path: str | None, languages: Sequence[str] | None = None, passages: str | None = None) -> FileReader:
    """The reader of MKQA in a local folder.

    Without passages, a row's passage is its question: in a batch of pairs across languages the translations
    of a question stand for each other, and the term `query_alignment` of the loss pulls them together. (A
    pair in one language teaches nothing then: use sampler=x_y.) With passages, only questions that have one
    are rows.

    Args:
        path: the folder, or the file `mkqa.jsonl.gz`.
        languages: those to read, or None for all; `zh` is the source's `zh_cn`.
        passages: a folder of `LANG.jsonl[.gz]` with `id` (of MKQA), `passage` and, optionally, `passage_id`.

    Raises:
        UserError: the files are not there.
    """
    folder = Path(path or "").expanduser()
    if not path or not folder.exists():
        raise UserError(f"data.path={path}: no such folder. Name one that holds {LAYOUT}.")
    files: Mapping[str, Sequence[TableFile]] = _files(folder)
    if passages is None:
        files = wanted_files(files, languages, f"data.path={path}", LAYOUT)
    else:
        texts = find_language_files(Path(passages).expanduser(), "jsonl", None)
        both = {
            code: [*files[code], TableFile(texts[code], f"{_PASSAGES}/{code}", None, None)]
            for code in files
            if code in texts
        }
        layout = "LANG.jsonl of a language of MKQA"
        files = wanted_files(both, languages, f"data.options.passages={passages}", layout)
    return FileReader("mkqa", "mkqa 1", files, _rows)


def _files(folder: Path) -> dict[str, list[TableFile]]:
    inside = [folder / name for name in _TOGETHER if (folder / name).is_file()]
    together = folder if folder.is_file() else next(iter(inside), None)
    files: dict[str, list[TableFile]] = {}
    if together is not None:
        where, first = next(read_records(together), (str(together), {}))
        for name in object_of(first.get("queries"), f"{where}: 'queries'"):
            code = language_code(name, where, CODES)
            files[code] = [TableFile(together, together.name, name, None)]
        return files
    for path in sorted(path for path in folder.glob("mkqa-*.jsonl*") if path.is_file()):
        name = path.name.removeprefix("mkqa-").partition(".")[0]
        code = language_code(name, str(path), CODES)
        if code in files:
            raise UserError(f"{path} and {files[code][0].name} are both in {code}. Remove one of them.")
        files[code] = [TableFile(path, path.name, name, None)]
    return files


def _rows(files: Sequence[TableFile], language: str) -> Iterator[LocatedRow]:
    file, *others = files
    passages = _passages(others[0].path) if others else None
    for where, record in read_records(file.path):
        if "queries" in record:
            row_id = id_field(record, "example_id", where)
            at = f"{where}: 'queries'"
            question = text_field(object_of(record["queries"], at), str(file.language), at)
        else:
            row_id = id_field(record, "id", where).partition("_")[0]
            question = text_field(record, "question", where)
        if passages is None:
            yield where, Row(row_id, question, question, row_id)
        elif row_id in passages:
            passage_id, passage = passages[row_id]
            yield where, Row(row_id, question, passage, passage_id)


def _passages(path: Path) -> Passages:
    """Passage id and passage by id of the question."""
    passages = {}
    for where, record in read_records(path):
        row_id = id_field(record, "id", where)
        passage_id = row_id if record.get("passage_id") is None else id_field(record, "passage_id", where)
        passages[row_id] = passage_id, text_field(record, "passage", where)
    return passages
