"""Weights of language pairs from a file: given ones, or from the results of an evaluation."""

import csv
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sampling.pairs import PairPatterns, PairTable, check_weight

_SETTING = "sampler.pair_weights"
_OPTIONS = {"metric": None, "power": 1.0, "least": 0.01, "default": None}
_COLUMNS = ("query_language", "passage_language")


def read_pair_weights(options: Mapping[str, Any]) -> PairTable | PairPatterns:
    """Read `sampler.pair_weights` of the form `{file: metrics.json, metric: map, power: 2}`.

    With a `metric`, which must lie in [0, 1] with 1 the best, a pair of which the file says m gets the weight

        max(1 - m, least)^power,

    so the worse a pair is retrieved the more often it is drawn; `least` keeps a perfect pair from vanishing,
    and `power` 0 weighs all pairs equally. Two kinds of file are read:

    - `.json`: the metrics.json of an evaluation (`per_pair`); without a `metric`, a mapping of weights by
      pair as in the configuration.
    - `.csv`: the columns `query_language`, `passage_language` and the metric's; without a `metric`, `weight`.

    A run that is resumed reads the file again: it must be the same for the batches to be.

    Args:
        options: `file`, and if wanted `metric`, `power`, `least`, and `default`: the weight of pairs of
            training languages that the file lacks, which are refused otherwise.

    Raises:
        UserError: an unknown option, or a file that cannot be read or holds no such values.
    """
    unknown = set(options) - {"file", *_OPTIONS}
    if unknown:
        raise UserError(
            f"{_SETTING} with a file does not take {', '.join(sorted(unknown))}; "
            f"it takes file, {', '.join(_OPTIONS)}."
        )
    given = {**_OPTIONS, **options}
    power, least = (check_weight(given[name], f"{_SETTING}.{name}") for name in ("power", "least"))
    default = given["default"]
    if default is not None:
        default = check_weight(default, f"{_SETTING}.default")
    path, metric = Path(str(given["file"])), given["metric"]
    text = _read(path)
    if path.suffix == ".csv":
        values = dict(_csv_pairs(text, path, metric or "weight"))
    elif metric is None:
        return PairPatterns(_mapping(_parse(text, path), path), str(path))
    else:
        values = dict(_evaluation_pairs(_parse(text, path), path, metric))
    if metric is not None:
        values = {
            pair: max(1 - _share(value, path, metric, pair), least) ** power for pair, value in values.items()
        }
    return PairTable(str(path), values, default)


def _read(path: Path) -> str:
    if path.suffix not in (".csv", ".json"):
        raise UserError(f"{_SETTING}.file={path} must be a .json or a .csv file.")
    if path.exists() and not path.is_file():
        raise UserError(f"{_SETTING}.file={path} is a folder, a pipe or a device, not a file.")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{_SETTING}.file={path} cannot be read: {error}.") from error


def _parse(text: str, path: Path) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError(f"{path}: not JSON ({error}).") from error


def _mapping(content: Any, path: Path) -> Mapping[str, float]:
    if isinstance(content, Mapping) and "per_pair" in content:
        raise UserError(
            f"{path} is the result of an evaluation: name the metric that gives the weights, for example "
            f"{_SETTING}={{file: {path}, metric: map}}."
        )
    if not isinstance(content, Mapping) or not content:
        raise UserError(f'{path}: expected weights by language pair such as {{"en-de": 2.0, "*-*": 1.0}}.')
    return content


def _evaluation_pairs(content: Any, path: Path, metric: str) -> Iterator[tuple[tuple[str, str], float]]:
    pairs = content.get("per_pair") if isinstance(content, Mapping) else {}
    if not pairs or not _nested(pairs):
        raise UserError(f"{path}: no per_pair results; expected the metrics.json of an evaluation.")
    known: set[str] = set()
    found = False
    for query, others in pairs.items():
        for passage, values in others.items():
            known.update(values)
            # A metric that nothing defines is null.
            if query != passage and values.get(metric) is not None:
                found = True
                yield (query, passage), values[metric]
    if not found:
        raise UserError(
            f"{_SETTING}.metric={metric}: {path} has it for no pair of two languages; "
            f"it has: {', '.join(sorted(known)) or 'nothing'}."
        )


def _csv_pairs(text: str, path: Path, column: str) -> Iterator[tuple[tuple[str, str], float]]:
    reader = csv.DictReader(text.splitlines())
    lacks = [name for name in (*_COLUMNS, column) if name not in (reader.fieldnames or ())]
    if lacks:
        raise UserError(
            f"{path}: the header lacks {', '.join(lacks)}. Expected {', '.join(_COLUMNS)} and {column}."
        )
    for row in reader:
        query, passage = (row[name] for name in _COLUMNS)
        where = f"{path}:{reader.line_num}: {column}"
        try:
            value = float(row[column])
        except (TypeError, ValueError):
            raise UserError(f"{where}={row[column]} is no number.") from None
        if query != passage:
            yield (query, passage), check_weight(value, where)


def _nested(pairs: Any) -> bool:
    """Whether it is a mapping of mappings of mappings."""
    return isinstance(pairs, Mapping) and all(
        isinstance(others, Mapping) and all(isinstance(values, Mapping) for values in others.values())
        for others in pairs.values()
    )


def _share(value: object, path: Path, metric: str, pair: tuple[str, str]) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(
            f"{path}: {metric} of {'-'.join(pair)} is {value}. {_SETTING}.metric must be a metric between 0 "
            "and 1 with 1 the best."
        )
    return float(value)
