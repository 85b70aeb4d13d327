"""The scripts that a text and a language are written in, to suspect texts that are in another language."""

import re
import unicodedata
from collections import Counter
from functools import cache

from babel import localedata
from babel.core import get_global

MIN_LETTERS = 20
"""Texts with fewer letters are not judged: they are names, numbers and codes."""

MAX_OWN = 0.02
"""Share of a suspect's letters, at most, that are in a script of its language."""

MAX_PLAIN_HAN = 40
"""Longer Japanese has kana."""

_NOT_PROSE = re.compile(
    r"`+[^`]*`+|<[^<>]{1,200}>|\{[^{}]{0,500}\}|\b(?:https?://|www\.)\S+|\S+@\S+"
    r"|\b[A-Za-z]\w*(?:\.\w+)+|\b\w*(?:[a-z][A-Z]|_)\w*"  # a.b, camelCase, snake_case
)
_LATIN = "Latn"

# First word of the names of a script's letters in the Unicode character database -> code of ISO 15924.
_SCRIPTS = {
    "LATIN": _LATIN,
    "CYRILLIC": "Cyrl",
    "GREEK": "Grek",
    "ARABIC": "Arab",
    "HEBREW": "Hebr",
    "ARMENIAN": "Armn",
    "GEORGIAN": "Geor",
    "DEVANAGARI": "Deva",
    "BENGALI": "Beng",
    "GURMUKHI": "Guru",
    "GUJARATI": "Gujr",
    "ORIYA": "Orya",
    "TAMIL": "Taml",
    "TELUGU": "Telu",
    "KANNADA": "Knda",
    "MALAYALAM": "Mlym",
    "SINHALA": "Sinh",
    "THAI": "Thai",
    "LAO": "Laoo",
    "TIBETAN": "Tibt",
    "MYANMAR": "Mymr",
    "KHMER": "Khmr",
    "ETHIOPIC": "Ethi",
    "MONGOLIAN": "Mong",
    "THAANA": "Thaa",
    "SYRIAC": "Syrc",
    "TIFINAGH": "Tfng",
    "CHEROKEE": "Cher",
    "CANADIAN": "Cans",
    "JAVANESE": "Java",
    "NKO": "Nkoo",
    "ADLAM": "Adlm",
    "OL": "Olck",
    "MEETEI": "Mtei",
    "HANGUL": "Hang",
    "HIRAGANA": "Kana",
    "KATAKANA": "Kana",
    "CJK": "Hani",
}
# Codes of ISO 15924 for several scripts together, or for a way to write one. Hira and Kana count as one.
_PARTS = {
    "Jpan": ("Hani", "Kana"),
    "Kore": ("Hang",),
    "Hans": ("Hani",),
    "Hant": ("Hani",),
    "Hira": ("Kana",),
}
# CLDR has these for text transcribed into the Latin alphabet, which is how nobody publishes a data set.
_TRANSCRIBED = {"hi", "kok", "zh"}


@cache
def script_of(character: str) -> str | None:
    """Code of ISO 15924 of a letter's script, or None: no letter, or of a script that is not known here."""
    if not unicodedata.category(character).startswith("L"):
        return None
    name = unicodedata.name(unicodedata.normalize("NFKC", character)[0], "")
    return _SCRIPTS.get(name.partition(" ")[0])


@cache
def scripts_of_language(language: str) -> frozenset[str]:
    """The scripts that a language is written in, by CLDR; empty where CLDR does not say.

    They are the script of the language's likely subtags and those of CLDR's locales of the language; or the
    one that the code names (`sr-latn`).

    Args:
        language: such as `de`, `zh-hant` or `sr-latn`.
    """
    base, *rest = language.replace("_", "-").split("-")
    named = [part.title() for part in rest if len(part) == 4]
    if named:
        return frozenset(_PARTS.get(named[0], named[:1]))
    likely = get_global("likely_subtags").get(base)
    if likely is None:
        return frozenset()
    codes = {likely.split("_")[1]}
    for locale in localedata.locale_identifiers():
        code, *parts = locale.split("_")
        if code == base:
            codes |= {part for part in parts[:1] if len(part) == 4}
    if base in _TRANSCRIBED:
        codes.discard(_LATIN)
    return frozenset(script for code in codes for script in _PARTS.get(code, (code,)))


def other_script(text: str, language: str) -> str | None:
    """The script of a text that seems to be in another language than it should be.

    URLs, e-mail addresses, mark-up, names of code (`a.b`, `camelCase`, `snake_case`), and what stands in
    backquotes or in braces do not count. A text is a suspect when it has at least `MIN_LETTERS` letters, most
    of them in a script that its language is not written in, and at most `MAX_OWN` of them in one that it is
    written in: product names in Latin letters are usual in every script. Japanese of more than
    `MAX_PLAIN_HAN` Han characters without kana is a suspect too. Whether a German text is English cannot be
    seen in this way.

    Returns:
        Code of ISO 15924 of the script of most letters, or None: no suspect, or not judged.
    """
    expected = scripts_of_language(language)
    found = Counter(map(script_of, _NOT_PROSE.sub(" ", text)))
    del found[None]
    letters = found.total()
    if not expected or letters < MIN_LETTERS:
        return None
    script = str(max(sorted(map(str, found)), key=lambda code: found[code]))
    if "Kana" in expected and found["Kana"] == 0 and found["Hani"] > MAX_PLAIN_HAN:
        return "Hani"
    own = sum(found[code] for code in expected)
    return script if script not in expected and own <= MAX_OWN * letters else None
