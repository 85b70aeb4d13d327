"""JSON that is whole but not what a reader expects: other types, missing, further and repeated fields."""

import json
from collections.abc import Callable
from random import Random
from typing import Any

_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1.5, float("nan"), float("inf"), 2**63, -(10**30), "", " ", "\n", "a\tb", "0",
    "\ud800", "\udc00 x", "\0", "\x1b]0;t\x07", "😀" * 3, "x" * 100_000, [], {}, [[]], [None], ["a", "a"],
    {"": 0}, {"a": {"b": []}}, "en", "../../x", 1e308, "\u202eabc", "\x85",
)  # fmt: skip


def json_mutated(random: Random, data: bytes) -> bytes:
    """The file with one to three changes to the values in it, as one value or as a value a line."""
    text = data.decode("utf-8")
    try:
        values, end = [json.loads(text)], ""
    except ValueError:
        values, end = [json.loads(line) for line in text.splitlines() if line.strip()], "\n"
    if not values:
        return data
    for _ in range(random.choice([1, 1, 1, 2, 3])):
        number = random.randrange(len(values))
        values[number] = _changed(random, values[number])
    return "".join(json.dumps(value) + end for value in values).encode()


def _changed(random: Random, value: Any) -> Any:
    """A value with a change somewhere in it."""
    if isinstance(value, dict | list) and value and random.random() < 0.85:
        keys = list(value) if isinstance(value, dict) else range(len(value))
        key = random.choice(list(keys))
        copy = value.copy()
        if random.random() < 0.3:
            _restructure(random, copy, key)
        else:
            copy[key] = _changed(random, value[key])
        return copy
    return random.choice(_VALUES) if random.random() < 0.9 else [value]


def _restructure(random: Random, value: Any, key: Any) -> None:
    """Remove, repeat, rename or add an entry of a list or an object, in place."""
    change: Callable[[], object]
    if isinstance(value, list):
        changes: list[Callable[[], object]] = [
            lambda: value.pop(key),
            lambda: value.append(value[key]),
            lambda: value.insert(key, random.choice(_VALUES)),
            lambda: random.shuffle(value),
            lambda: value.extend([value[key]] * 1000),
        ]
    else:
        changes = [
            lambda: value.pop(key),
            lambda: value.update(
                {random.choice(["", "\ud800", key + " ", "x" * 5000, "\x1b[2J"]): value.pop(key)}
            ),
            lambda: value.update({key: value[random.choice(list(value))]}),
            lambda: value.update({f"more {i}": i for i in range(random.choice([1, 5000]))}),
        ]
    change = random.choice(changes)
    change()
