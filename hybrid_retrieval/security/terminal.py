"""Texts of others on a terminal: what would move its cursor or change its settings is made visible."""

import re
from typing import Any

# C0 but tab and line feed, DEL and C1; the overrides of direction, which show a text in another order.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202d\u202e]")


def plain(text: str) -> str:
    """A text whose control characters are written out, as `\\x1b` for the one that begins ANSI escapes.

    Tabs and line feeds stay.

    Args:
        text: of a data set, a file or a program.
    """
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def plain_content(content: Any) -> Any:
    """What was read from JSON or YAML, with every text in it, keys too, made `plain`.

    What YAML refers to more than once stays one object: a few lines can stand for billions of values.
    """
    made: dict[int, Any] = {}
    left: list[tuple[Any, Any]] = []

    def copy_of(value: Any) -> Any:
        if isinstance(value, str):
            return plain(value)
        if not isinstance(value, dict | list):
            return value
        if id(value) not in made:
            made[id(value)] = {} if isinstance(value, dict) else []
            left.append((value, made[id(value)]))
        return made[id(value)]

    copied = copy_of(content)
    while left:
        old, new = left.pop()
        if isinstance(old, dict):
            new.update((copy_of(key), copy_of(value)) for key, value in old.items())
        else:
            new.extend(map(copy_of, old))
    return copied
