"""Checked access to the fields of a JSON object that a user wrote."""

import json
from collections.abc import Mapping

from hybrid_retrieval.data.readers.base import Split
from hybrid_retrieval.data.readers.input_file import LONGEST_LINE
from hybrid_retrieval.errors import UserError

SPLIT_NAMES: dict[str, Split] = {
    "train": "train",
    "validation": "validation",
    "valid": "validation",
    "dev": "validation",
    "test": "test",
}


def text_field(record: Mapping[str, object], field: str, where: str) -> str:
    """A string that holds more than white space, unchanged.

    Args:
        record: the JSON object.
        field: name of the field.
        where: file and line, the start of the message.

    Raises:
        UserError: the field is missing, no string, empty, of more than `LONGEST_LINE` characters, or not
            representable in UTF-8.
    """
    value = _present(record, field, where)
    if not isinstance(value, str):
        raise UserError(f"{where}: {field!r} must be a string, not {_kind(value)}. Correct the field.")
    if not value.strip():
        raise UserError(f"{where}: {field!r} is empty. Fill it or remove the row.")
    if len(value) > LONGEST_LINE:
        raise UserError(
            f"{where}: {field!r} has {len(value):,} characters: no query or passage is so long. Divide it, "
            "or remove the row."
        )
    return _unicode(value, field, where)


def id_field(record: Mapping[str, object], field: str, where: str) -> str:
    """An identifier: a string, or an integer, which stands for its decimal digits.

    Raises:
        UserError: the field is missing, empty or of another type.
    """
    return _identifier(_present(record, field, where), field, where)


def id_list_field(record: Mapping[str, object], field: str, where: str) -> tuple[str, ...]:
    """A list of identifiers; empty where the field is missing or null.

    Raises:
        UserError: it is not a list of identifiers.
    """
    value = record.get(field)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise UserError(f"{where}: {field!r} must be a list of ids, not {_kind(value)}. Correct the field.")
    return tuple(_identifier(item, field, where) for item in value)


def split_field(record: Mapping[str, object], field: str, where: str) -> Split | None:
    """A split: train, validation (or valid, dev), test; None where the field is missing, null or empty.

    Raises:
        UserError: it is something else.
    """
    value = record.get(field)
    if value is None or value == "":
        return None
    split = SPLIT_NAMES.get(value) if isinstance(value, str) else None
    if split is None:
        raise UserError(
            f"{where}: {field!r} is {value!r}. Write train, validation (or dev) or test, or remove it."
        )
    return split


def list_field(record: Mapping[str, object], field: str, where: str) -> list[object]:
    """A list.

    Raises:
        UserError: the field is missing or no list.
    """
    value = _present(record, field, where)
    if not isinstance(value, list):
        raise UserError(f"{where}: {field!r} must be a list, not {_kind(value)}. Correct the field.")
    return value


def object_of(value: object, where: str) -> dict[str, object]:
    """A JSON object.

    Raises:
        UserError: it is something else.
    """
    if not isinstance(value, dict):
        raise UserError(f"{where}: expected an object {{...}}, not {_kind(value)}. Correct it.")
    return value


def parse_object(line: str, where: str, example: str = "") -> dict[str, object]:
    """The JSON object on a line.

    Args:
        line: the line, without or with its end.
        where: file and line, the start of the message.
        example: the end of the message, such as ' such as {"id": "1"}'.

    Raises:
        UserError: it is no JSON object, or cut off.
    """
    try:
        value = json.loads(line)
    except json.JSONDecodeError as error:
        end = error.pos >= len(line.rstrip()) or error.msg.startswith("Unterminated string")
        reason = "the JSON object is cut off" if end else f"not JSON: {error.msg}"
        raise UserError(
            f"{where}: {reason} (column {error.colno}). Every line must be one whole object{example}."
        ) from None
    except (ValueError, RecursionError, MemoryError) as error:
        raise UserError(
            f"{where}: not JSON that can be read: {json_fault(error)}. Correct the line."
        ) from None
    return object_of(value, where)


def json_fault(error: ValueError | RecursionError | MemoryError) -> str:
    """What is wrong with JSON that Python's parser does not read, though it may be well formed."""
    if isinstance(error, RecursionError):
        return "lists or objects are nested too deep"
    return "it does not fit into memory" if isinstance(error, MemoryError) else str(error)


def _present(record: Mapping[str, object], field: str, where: str) -> object:
    if field not in record:
        fields = ", ".join(map(repr, list(record)[:8])) or "none"
        raise UserError(f"{where}: the field {field!r} is missing (fields: {fields}). Add it.")
    return record[field]


def _identifier(value: object, field: str, where: str) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise UserError(
            f"{where}: an id in {field!r} must be a string or an integer, not {_kind(value)}. Correct it."
        )
    if not value.strip():
        raise UserError(f"{where}: an id in {field!r} is empty. Fill it or remove the row.")
    return _unicode(value, field, where)


def _unicode(value: str, field: str, where: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{where}: {field!r} holds half of a surrogate pair, \\u{ord(value[error.start]):04x}, at "
            f"character {error.start + 1}. Write the whole pair, or the character itself."
        ) from None
    return value


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(value), "a number")
