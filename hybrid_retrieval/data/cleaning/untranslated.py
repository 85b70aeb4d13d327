"""Passages that equal their translation: untranslated copies.

Of several languages that have the same passage (after `normalise`), one keeps it: English, if it is one of
them and the text is in its script, since translations are most often made from it; else the one language that
is written in the script of the text. Where several are, it cannot be told whose text it is, often that of yet
another, and none keeps it. Varieties of one language, such as pt and pt-br, may have equal texts and count as
one. A passage without letters, such as a number, is no copy. Questions are not compared: one of a few words
may well be the same in two languages, such as a name.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np

from hybrid_retrieval.data.cleaning.normalise import Hashes
from hybrid_retrieval.data.statistics.scripts import script_of, scripts_of_language
from hybrid_retrieval.sampling.triples import BoolArray

PART = 1 << 20


def main_script(text: str) -> str | None:
    """The script of most letters, by ISO 15924 (`Zzzz` where it is not known); None without letters."""
    scripts = Counter(script_of(letter) or "Zzzz" for letter in text if letter.isalpha())
    return scripts.most_common(1)[0][0] if scripts else None


def fits(script: str, language: str) -> bool:
    """Whether a language is written in a script, Latin where CLDR does not know the language."""
    return script in (scripts_of_language(language) or ("Latn",))


def keep(text: str, languages: Sequence[str]) -> Sequence[str]:
    """Which of the languages that have a text keep it."""
    script = main_script(text)
    if script is None or len({base(language) for language in languages}) == 1:
        return languages
    fitting = [language for language in languages if fits(script, language)]
    english = [language for language in fitting if base(language) == "en"]
    if english or len({base(language) for language in fitting}) == 1:
        return english or fitting
    return []


def base(language: str) -> str:
    """A language code without its variety."""
    return language.partition("-")[0]


def copies(
    hashes: Sequence[Hashes], languages: Sequence[str], text: Callable[[str, int], str]
) -> list[BoolArray]:
    """The untranslated copies among the passages of all languages.

    Args:
        hashes: of each language, uint64 (passages,) by joined number, `ABSENT` where it has none.
        languages: their codes.
        text: gives the passage of a language and a number.

    Returns:
        For each language, bool (passages,).
    """
    size = len(hashes[0])
    found = [np.zeros(size, dtype=np.bool_) for _ in languages]
    for start in range(0, size, PART):
        part = [np.asarray(column[start : start + PART]) for column in hashes]
        equal = np.zeros(len(part[0]), dtype=np.bool_)
        for one, other in combinations(part, 2):
            equal |= (one == other) & (one != 0)
        for within in np.flatnonzero(equal).tolist():
            groups: dict[int, list[int]] = {}
            for column, values in enumerate(part):
                if values[within]:
                    groups.setdefault(int(values[within]), []).append(column)
            for columns in groups.values():
                if len(columns) > 1:
                    codes = [languages[column] for column in columns]
                    kept = keep(text(codes[0], start + within), codes)
                    for column, code in zip(columns, codes, strict=True):
                        found[column][start + within] = code not in kept
    return found
