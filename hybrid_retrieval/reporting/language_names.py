"""English names of language codes, from CLDR."""

from babel import Locale


def language_name(code: str) -> str:
    """ "el" is "Greek"; a code that CLDR does not know is its own name."""
    names = Locale("en").languages
    return str(names.get(code) or names.get(code.replace("-", "_")) or code)
