"""The readers by the name that `data=` takes."""

from collections.abc import Callable, Sequence
from typing import Any

from hybrid_retrieval.data.readers.base import Reader
from hybrid_retrieval.errors import UserError

# Imports inside, so that one reader does not pay for the libraries of another.


def _world_facts(path: str | None, languages: Sequence[str] | None) -> Reader:
    from hybrid_retrieval.data.readers.world_facts import WorldFactsReader  # noqa: PLC0415

    if path is not None:
        raise UserError(
            f"data=world_facts is generated and takes no data.path, but it is {path!r}: set null."
        )
    return WorldFactsReader(languages)


def _jsonl(path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader:
    from hybrid_retrieval.data.readers.jsonl import JsonlReader  # noqa: PLC0415

    return JsonlReader(_needed(path, "jsonl", "LANG.jsonl[.gz]"), languages, **options)


def _squad(path: str | None, languages: Sequence[str] | None) -> Reader:
    from hybrid_retrieval.data.readers.squad import SquadReader  # noqa: PLC0415

    return SquadReader(_needed(path, "squad", "LANG.json[.gz]"), languages)


_READERS: dict[str, tuple[Callable[..., Reader], frozenset[str]]] = {
    "world_facts": (_world_facts, frozenset()),
    "jsonl": (_jsonl, frozenset({"title", "passage_variants"})),
    "squad": (_squad, frozenset()),
}


def make_reader(name: str, path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader:
    """The reader of a source.

    Args:
        name: world_facts, jsonl or squad.
        path: the folder of files, for the readers of files.
        languages: ISO 639-1 codes, or None for all.
        **options: of the reader; jsonl has `title` and `passage_variants`.

    Raises:
        UserError: an unknown name or option, or no path where one is needed.
    """
    if name not in _READERS:
        raise UserError(f"There is no reader data={name}: choose from {', '.join(_READERS)}.")
    make, known = _READERS[name]
    unknown = sorted(set(options) - known)
    if unknown:
        has = f"its options are {', '.join(sorted(known))}" if known else "it has no options"
        raise UserError(f"data={name} has no option data.options.{unknown[0]}: {has}.")
    return make(path, languages, **options)


def _needed(path: str | None, name: str, files: str) -> str:
    if not path:
        raise UserError(f"data={name} needs data.path=<folder of {files}>.")
    return path
