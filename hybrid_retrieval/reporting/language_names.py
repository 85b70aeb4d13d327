"""Names of language codes in English and in the language itself, from CLDR."""

from dataclasses import dataclass
from functools import cache

from babel import Locale, UnknownLocaleError


@dataclass(frozen=True)
class Language:
    """A language's names.

    Attributes:
        code: as the benchmark has it.
        english: "Greek"; the code itself, where CLDR does not know it.
        own: "Ελληνικά"; "" where it is not known or the same.
        direction: "rtl" or "ltr", of its own name.
    """

    code: str
    english: str
    own: str
    direction: str

    @property
    def told(self) -> str:
        """ "Greek, Ελληνικά (el)"."""
        own = f", {self.own}" if self.own else ""
        return self.code if self.english == self.code else f"{self.english}{own} ({self.code})"


@cache
def language(code: str) -> Language:
    """The names of a code such as "el" or "zh-Hant"."""
    english = language_name(code)
    try:
        locale = Locale.parse(code, sep="-" if "-" in code else "_")
        own = str(locale.languages.get(code.replace("-", "_")) or locale.languages.get(locale.language) or "")
        direction = locale.character_order
    except (UnknownLocaleError, ValueError):
        own, direction = "", "left-to-right"
    own = own[:1].upper() + own[1:]
    return Language(
        code, english, "" if own == english else own, "rtl" if direction == "right-to-left" else "ltr"
    )


def language_name(code: str) -> str:
    """ "el" is "Greek"; a code that CLDR does not know is its own name."""
    names = Locale("en").languages
    return str(names.get(code) or names.get(code.replace("-", "_")) or code)
