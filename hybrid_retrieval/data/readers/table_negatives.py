"""Tables whose rows hold the texts of their hard negatives."""

from collections.abc import Iterator, Sequence
from functools import partial

from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.collection_source import Collection, CollectionSource, IdText, Judged
from hybrid_retrieval.data.readers.columns import text_id
from hybrid_retrieval.data.readers.table import TableReader


def with_negative_texts(reader: TableReader) -> CollectionSource:
    """The source of a table with `columns.negative_texts`.

    In a table in one language equal texts are one passage, positive or negative. In several languages the
    n-th negative of a row is the same passage as the n-th of its translations. Of passages with one id, the
    text that comes first counts.

    Args:
        reader: of the table.

    Raises:
        UserError: as `reader.languages`.
    """
    languages = reader.languages()
    collect = partial(_collect, reader, len(languages) > 1)
    return CollectionSource(
        reader.name,
        "table negatives 1",
        languages,
        collect,
        reader.options,
        one_process=reader.has_language_column,
    )


def _collect(reader: TableReader, several: bool, languages: Sequence[str]) -> dict[str, Collection]:
    return {
        code: Collection(
            files=tuple(reader.files_of(code)),
            queries=partial(_queries, reader, code),
            passages=partial(_passages, reader, several, code),
            judged=partial(_judged, reader, several, code),
        )
        for code in languages
    }


def _queries(reader: TableReader, language: str) -> Iterator[IdText]:
    for row in reader.rows(language):
        yield IdText(row.id, row.question)


def _passages(reader: TableReader, several: bool, language: str) -> Iterator[IdText]:
    for row, negatives in reader.rows_with_negatives(language):
        yield IdText(row.passage_id, row.passage)
        yield from map(IdText, _negative_ids(row, negatives, several), negatives)


def _judged(reader: TableReader, several: bool, language: str) -> Iterator[Judged]:
    for row, negatives in reader.rows_with_negatives(language):
        others = [*row.negatives, *_negative_ids(row, negatives, several)]
        yield Judged(row.id, [row.passage_id], others, row.split)


def _negative_ids(row: Row, negatives: Sequence[str], several: bool) -> list[str]:
    if several:
        return [f"{row.id}#negative{number}" for number in range(len(negatives))]
    return [text_id(text) for text in negatives]
