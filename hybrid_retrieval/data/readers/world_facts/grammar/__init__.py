"""Inflected forms of names, for the languages in which a citation form does not fit every sentence.

A language's `inflect(type, key, citation)` gives the named forms its templates use, as in `{s.in}`.
"""

from hybrid_retrieval.data.readers.world_facts.grammar import (
    arabic,
    chinese,
    english,
    french,
    german,
    greek,
    hindi,
    indonesian,
    japanese,
    russian,
    spanish,
    thai,
    turkish,
    vietnamese,
)

RULES = {
    "ar": arabic.inflect,
    "de": german.inflect,
    "el": greek.inflect,
    "en": english.inflect,
    "es": spanish.inflect,
    "fr": french.inflect,
    "hi": hindi.inflect,
    "id": indonesian.inflect,
    "ja": japanese.inflect,
    "ru": russian.inflect,
    "th": thai.inflect,
    "tr": turkish.inflect,
    "vi": vietnamese.inflect,
    "zh": chinese.inflect,
}
