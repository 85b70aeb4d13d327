"""The files that large benchmarks come in: JSON lines, topics (TSV) and TREC qrels."""

from collections.abc import Iterator
from pathlib import Path

from hybrid_retrieval.data.readers.fields import parse_object
from hybrid_retrieval.data.readers.language_files import read_lines
from hybrid_retrieval.errors import UserError


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, object]]]:
    """Yield place (file and line) and object of each line of a `.jsonl` or `.jsonl.gz` file.

    Raises:
        UserError: the file is cut off or not UTF-8, or a line is not a JSON object.
    """
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        yield where, parse_object(line, where)


def read_topics(path: Path) -> dict[str, str]:
    """The text of each query by its id, from lines of id, tab, text.

    Raises:
        UserError: a line is malformed or repeats an id.
    """
    topics: dict[str, str] = {}
    for number, line in read_lines(path):
        query_id, tab, text = line.rstrip("\r\n").partition("\t")
        if not (tab and query_id.strip() and text.strip()):
            raise UserError(f"{path}:{number}: not a query id, a tab and the query. Correct the line.")
        if query_id in topics:
            raise UserError(f"{path}:{number}: query id {query_id!r} repeats. Give every query its own id.")
        topics[query_id] = text.strip()
    if not topics:
        raise UserError(f"{path}: holds no query. Get the file again.")
    return topics


def read_qrels(path: Path, topics: dict[str, str]) -> dict[str, dict[str, int]]:
    """The grade of each judged passage by query id and passage id, from TREC qrels.

    A line holds query id, iteration (not used), passage id and grade, separated by tabs or spaces.

    Args:
        path: the qrels.
        topics: the queries, by id.

    Raises:
        UserError: a line is malformed, names an unknown query or judges a passage again.
    """
    qrels: dict[str, dict[str, int]] = {}
    for number, line in read_lines(path):
        where = f"{path}:{number}"
        fields = line.split()
        try:
            query_id, _, passage_id, grade = fields[0], fields[1], fields[2], int(fields[3])
        except (IndexError, ValueError):
            fields = []
        if len(fields) != 4:
            raise UserError(
                f"{where}: not TREC qrels: query id, Q0, passage id and a whole number. Correct the line."
            )
        if query_id not in topics:
            raise UserError(
                f"{where}: query {query_id!r} is not among the {len(topics)} topics. Use topics and qrels of "
                "the same language and split."
            )
        of_query = qrels.setdefault(query_id, {})
        if passage_id in of_query:
            raise UserError(
                f"{where}: passage {passage_id!r} is judged twice for query {query_id!r}. Remove one line."
            )
        of_query[passage_id] = grade
    return qrels
