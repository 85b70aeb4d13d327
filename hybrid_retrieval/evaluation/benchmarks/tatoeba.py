"""Tatoeba: up to 1,000 sentences of each of 112 languages and their translations into English.

Source: LASER (Artetxe and Schwenk, TACL 2019, arXiv 1812.10464); 36 of the languages are a task of XTREME
(arXiv 2003.11080), all of them one of mteb (arXiv 2210.07316).
"""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, cast

import pycountry

from hybrid_retrieval.data.readers.language_files import read_text
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.bitext import Bitext, SentencePairs

if TYPE_CHECKING:
    from hybrid_retrieval.models.text_tokenizer import TextKind

SOURCE = (
    "The files are in the folder data/tatoeba/v1 of https://github.com/facebookresearch/LASER (sentences of "
    "tatoeba.org, CC BY 2.0 FR): tatoeba.XXX-eng.XXX and tatoeba.XXX-eng.eng, XXX an ISO 639-3 code."
)
_FILE = re.compile(r"tatoeba\.([a-z]{3})-eng\.([a-z]{3})")
_ENGLISH = "eng"

OF_MACROLANGUAGE: Mapping[str, str] = MappingProxyType(
    {
        "arb": "ar", "als": "sq", "azj": "az", "cmn": "zh", "ekk": "et", "khk": "mn", "lvs": "lv",
        "npi": "ne", "ory": "or", "pbt": "ps", "pes": "fa", "plt": "mg", "swh": "sw", "uzn": "uz",
        "ydd": "yi", "zsm": "ms",
    }
)  # fmt: skip
"""Individual languages that are named by the ISO 639-1 code of their macrolanguage."""


def tatoeba(path: Path, *, languages: Sequence[str] | None = None, kind: str = "query") -> Bitext:
    """Read LASER's files: line i of `tatoeba.XXX-eng.XXX` is the translation of line i of `.eng`.

    The English sentences differ from file to file, so each pair of files is a task of its own, in both
    directions. Languages are called by their ISO 639-1 code where they have one (cmn is zh, swh is sw), else
    by the code of the file name (yue, ceb). White space at the ends of a line is dropped.

    Args:
        path: the folder with the files.
        languages: codes to evaluate against English; None is every language that has files.
        kind: as what both sides are embedded, "query" or "passage"; which of the two is for texts of equal
            standing, the authors of a model say (E5: query).

    Raises:
        UserError: files are missing, differ in length or have an empty line, or an option is unknown.
    """
    if kind not in ("query", "passage"):
        raise UserError(f"benchmark.kind={kind}: use query or passage.")
    codes = _codes(path)
    if languages is not None:
        wanted = set(languages) - {"en"}
        if not wanted:
            raise UserError(f"{path}: no language asked for beside en. Choose some of: {', '.join(codes)}.")
        if absent := sorted(wanted - set(codes)):
            raise UserError(
                f"{path}: no files for the languages {', '.join(absent)}; there are some for "
                f"{', '.join(codes)}. Set benchmark.languages, or add the files. {SOURCE}"
            )
        codes = {code: name for code, name in codes.items() if code in wanted}
    pairs = tuple(_pairs(path, code, name) for code, name in codes.items())
    return Bitext("tatoeba", pairs, cast("TextKind", kind))


def language_code(iso_639_3: str) -> str:
    """The ISO 639-1 code of a language, or of its macrolanguage; the ISO 639-3 code if neither has one."""
    if iso_639_3 in OF_MACROLANGUAGE:
        return OF_MACROLANGUAGE[iso_639_3]
    code: str = getattr(pycountry.languages.get(alpha_3=iso_639_3), "alpha_2", iso_639_3)
    return code


def _codes(folder: Path) -> dict[str, str]:
    """The part XXX of the file names by language code, sorted by code."""
    if not folder.is_dir():
        what = "a file, not a folder" if folder.exists() else "no such folder"
        raise UserError(f"{folder}: {what}. Set benchmark.path to the folder with the files. {SOURCE}")
    name_of: dict[str, str] = {}
    for name in sorted({found[1] for path in folder.iterdir() if (found := _FILE.fullmatch(path.name))}):
        code = language_code(name)
        if code in name_of:
            raise UserError(
                f"{folder}: files of both {name_of[code]} and {name} hold the language {code}. Move one away."
            )
        name_of[code] = name
    if not name_of:
        raise UserError(f"{folder}: no files such as tatoeba.deu-eng.deu in this folder. {SOURCE}")
    return dict(sorted(name_of.items()))


def _pairs(folder: Path, code: str, name: str) -> SentencePairs:
    files = [folder / f"tatoeba.{name}-{_ENGLISH}.{side}" for side in (name, _ENGLISH)]
    first, second = (_sentences(file) for file in files)
    if len(first) != len(second):
        raise UserError(
            f"{files[0]} has {len(first)} lines and {files[1].name} has {len(second)}. Each line must be the "
            "translation of the same line of the other file: get both again."
        )
    return SentencePairs((code, "en"), (first, second))


def _sentences(file: Path) -> list[str]:
    if not file.is_file():
        raise UserError(f"{file}: no such file, though its other half is there. Add it. {SOURCE}")
    sentences = [line.strip() for line in read_text(file).removesuffix("\n").split("\n")]
    if "" in sentences:
        raise UserError(f"{file}:{sentences.index('') + 1}: the line is empty. Get the file again.")
    return sentences
