"""The readers by the name that `data=` takes."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from hybrid_retrieval.data.readers.base import IdSource, Reader
from hybrid_retrieval.errors import UserError

if TYPE_CHECKING:
    from hybrid_retrieval.data.prepared_folder import PreparedSource

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


def _parquet(path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader | IdSource:
    return _table(_existing(path, "parquet", "Parquet files"), path, languages, ("parquet",), options)


def _csv(path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader | IdSource:
    return _table(_existing(path, "csv", "CSV or TSV files"), path, languages, ("csv", "tsv"), options)


def _hub(path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader | IdSource:
    from hybrid_retrieval.data.readers.dataset_folder import dataset_folder  # noqa: PLC0415
    from hybrid_retrieval.data.readers.records import FORMATS  # noqa: PLC0415
    from hybrid_retrieval.data.readers.table_files import download_patterns  # noqa: PLC0415

    patterns = download_patterns(FORMATS, options.get("files"), languages, options.get("language_codes"))
    layout = f"its files {', '.join(patterns)}" if options.get("files") else "its Parquet, JSON or CSV files"
    root = dataset_folder(path, patterns, layout, options.pop("revision", None))
    return _table(root, path, languages, FORMATS, options)


def _mfaq(path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader:
    from hybrid_retrieval.data.readers.mfaq import mfaq  # noqa: PLC0415

    return mfaq(path, languages, **options)


def _mkqa(path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader:
    from hybrid_retrieval.data.readers.mkqa import mkqa  # noqa: PLC0415

    return mkqa(path, languages, **options)


def _parallel_sentences(path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader:
    from hybrid_retrieval.data.readers.parallel_sentences import parallel_sentences  # noqa: PLC0415

    return parallel_sentences(path, languages, **options)


def _translated_squad(source: str, path: str | None, languages: Sequence[str] | None) -> Reader:
    from hybrid_retrieval.data.readers.translated_squad import translated_squad  # noqa: PLC0415

    return translated_squad(source, path, languages)


def _mmarco(path: str | None, languages: Sequence[str] | None, **options: Any) -> IdSource:
    from hybrid_retrieval.data.readers.mmarco import MMarcoSource  # noqa: PLC0415

    return MMarcoSource(_needed(path, "mmarco", "data/"), **options)


def _beir(path: str | None, languages: Sequence[str] | None, **options: Any) -> IdSource:
    from hybrid_retrieval.data.readers.beir import beir_source  # noqa: PLC0415

    return beir_source(path, languages, **options)


def _mr_tydi(path: str | None, languages: Sequence[str] | None, **options: Any) -> IdSource:
    from hybrid_retrieval.data.readers.mr_tydi import mr_tydi  # noqa: PLC0415

    return mr_tydi(path, languages, **options)


def _miracl_train(path: str | None, languages: Sequence[str] | None, **options: Any) -> IdSource:
    from hybrid_retrieval.data.readers.miracl_train import miracl_train  # noqa: PLC0415

    return miracl_train(path, languages, **options)


def _prepared(path: str | None, languages: Sequence[str] | None) -> "PreparedSource":
    from hybrid_retrieval.data.prepared_folder import PreparedSource  # noqa: PLC0415

    return PreparedSource(path, languages)


def _table(
    root: Path, path: str | None, languages: Sequence[str] | None, formats: Any, options: Mapping[str, Any]
) -> Reader | IdSource:
    from hybrid_retrieval.data.readers.table import TableReader  # noqa: PLC0415
    from hybrid_retrieval.data.readers.table_negatives import with_negative_texts  # noqa: PLC0415

    name = Path(str(path)).resolve().name
    if root.is_file():
        name = name.partition(".")[0]
    reader = TableReader(root, languages, name=name, formats=formats, **options)
    return reader if options["columns"].get("negative_texts") is None else with_negative_texts(reader)


_TABLE = frozenset({"columns", "files", "language", "language_codes"})
_READERS: dict[str, tuple["Callable[..., Reader | IdSource | PreparedSource]", frozenset[str]]] = {
    "world_facts": (_world_facts, frozenset()),
    "jsonl": (_jsonl, frozenset({"title", "passage_variants"})),
    "squad": (_squad, frozenset()),
    "prepared": (_prepared, frozenset()),
    "parquet": (_parquet, _TABLE),
    "csv": (_csv, _TABLE | {"quotes"}),
    "hub": (_hub, _TABLE | {"quotes", "revision"}),
    "mmarco": (_mmarco, frozenset({"triples", "negatives", "limit", "revision"})),
    "beir": (_beir, frozenset({"language", "splits"})),
    "mr_tydi": (_mr_tydi, frozenset({"revision"})),
    "miracl_train": (_miracl_train, frozenset({"corpus", "revision"})),
    "mfaq": (_mfaq, frozenset({"revision"})),
    "mkqa": (_mkqa, frozenset({"passages"})),
    "parallel_sentences": (_parallel_sentences, frozenset({"revision"})),
    "mlqa_translate_train": (partial(_translated_squad, "mlqa_translate_train"), frozenset()),
    "xtreme_squad": (partial(_translated_squad, "xtreme_squad"), frozenset()),
}


@overload
def make_reader(  # type: ignore[overload-overlap]
    name: Literal["mmarco"], path: str | None, languages: Sequence[str] | None, **options: Any
) -> IdSource: ...


@overload
def make_reader(
    name: Literal["prepared"], path: str | None, languages: Sequence[str] | None, **options: Any
) -> "PreparedSource": ...


@overload
def make_reader(name: str, path: str | None, languages: Sequence[str] | None, **options: Any) -> Reader: ...


def make_reader(
    name: str, path: str | None, languages: Sequence[str] | None, **options: Any
) -> "Reader | IdSource | PreparedSource":
    """The reader of a source.

    Args:
        name: a name that `data=` takes.
        path: the folder of files, for the readers of files; a data set of the hub, for those of its sets.
        languages: ISO 639-1 codes to read, or None for all.
        **options: of the reader, as its file in `conf/data/` lists them.

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


def _existing(path: str | None, name: str, files: str) -> Path:
    folder = Path(_needed(path, name, files)).expanduser()
    if not folder.exists():
        raise UserError(f"data.path={path} does not exist. Name a folder of {files}, or one such file.")
    return folder
