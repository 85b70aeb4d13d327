"""Texts as sequences of words, and of characters where the script has no spaces, and hashes of their n-grams.

Texts that differ in case, punctuation, width or compatibility form of characters, or vowel signs that Arabic
and Hebrew may leave out, have the same words. Normalisation is Unicode's (UAX #15, form KC), the kind of a
character its general category.
"""

import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.compiled import compiled

HashArray = npt.NDArray[np.uint64]

CHARACTERS_PER_WORD: Mapping[str, float] = MappingProxyType(
    {"zh": 1.6, "yue": 1.6, "ja": 2.3, "th": 4.9, "lo": 4.9, "km": 5.8, "my": 6.8}
)
"""Languages written without spaces, and how many of their characters translate a word of English.

Units as `words_of` gives them, in NTREX-128 (zh 1.65, zh-hant 1.56, ja 2.34, th 4.94, my 6.38) and in TICO-19
(zh 1.58, km 5.79, my 7.15), divided by the words of the English text; lo as th, yue as zh.
"""

_SPACE, _DROP, _END, _OF_WORD, _CHARACTER = range(5)
_SEPARATOR = "\uffff"  # no character, by Unicode's definition, and left alone by normalisation
_OPTIONAL = (
    (0x0591, 0x05BD), (0x05BF, 0x05BF), (0x05C1, 0x05C2), (0x05C4, 0x05C5), (0x05C7, 0x05C7),  # Hebrew points
    (0x0640, 0x0640), (0x064B, 0x0652), (0x0670, 0x0670),  # Arabic: tatweel, harakat, superscript alef
    (0x0307, 0x0307),  # the dot that a capital dotted i leaves; with other letters it is one character
    (0x034F, 0x034F), (0xFE00, 0xFE0F), (0xE0100, 0xE01EF),  # joiner and variation selectors
)  # fmt: skip
_WITHOUT_SPACES = (
    (0x0E00, 0x0EFF), (0x1000, 0x109F), (0x1780, 0x17FF), (0xA9E0, 0xA9FF), (0xAA60, 0xAA7F),  # Thai to Khmer
    (0x3005, 0x3007), (0x3040, 0x30FF), (0x31F0, 0x31FF),  # kana
    (0x3400, 0x4DBF), (0x4E00, 0x9FFF), (0xF900, 0xFAFF), (0x20000, 0x3FFFF),  # Han
)  # fmt: skip
"""Blocks of the scripts that are written without spaces."""

_BASE = np.uint64(
    0x9E3779B97F4A7C15
)  # odd, and 5 modulo 8: few positions have powers alike in their low bits
_ODD_1, _ODD_2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = np.uint64(30), np.uint64(27), np.uint64(31)
_WHOLE = np.uint64(0xD1B54A32D192ED03)


class Units(NamedTuple):
    """The words (or characters, or grams) of several texts.

    Attributes:
        hashes: uint64 (units,).
        offsets: int64 (texts + 1,); those of text i are `hashes[offsets[i]:offsets[i + 1]]`.
    """

    hashes: HashArray
    offsets: npt.NDArray[np.int64]


def normalized(text: str) -> str:
    """A text's words with one space between, in Unicode's form KC and without case.

    Words are of letters, digits and marks; everything else is space but for what can be left out: format
    characters, variation selectors, the optional vowel signs of Arabic and Hebrew, and tatweel. Turkish i and
    dotless i are one letter.
    """
    codes = _codes(text.replace(_SEPARATOR, " "))
    kind = _kinds()[codes]
    codes = np.where(kind >= _OF_WORD, codes, np.uint32(ord(" ")))[kind != _DROP]
    return " ".join(codes.astype("<u4").tobytes().decode("utf-32-le").split())


def words_of(text: str, *, characters: bool) -> list[str]:
    """The units of a text, normalised, whose hashes `units_of` gives."""
    words = normalized(text).split()
    if not characters:
        return words
    units: list[str] = []
    for word in words:
        before = _CHARACTER
        for letter, kind in zip(word, _kinds()[[ord(letter) for letter in word]].tolist(), strict=True):
            if _CHARACTER in (before, kind):
                units.append(letter)
            else:
                units[-1] += letter
            before = kind
    return units


def spaceless(language: str) -> bool:
    """Whether a language (ISO 639 code, with or without subtags) is written without spaces between words."""
    return _primary(language) in CHARACTERS_PER_WORD


def gram_length(language: str, words: int) -> int:
    """How many characters of a language without spaces stand for so many words; `words` for the others."""
    return round(words * CHARACTERS_PER_WORD[_primary(language)]) if spaceless(language) else words


def gram_hashes(text: str, language: str, n: int) -> HashArray:
    """Hashes of the n-grams of a text, in their order; uint64 (max(0, units - n + 1),).

    Args:
        text: any text.
        language: decides whether the units are words or, if it is `spaceless`, characters; its spaces are
            no characters, and words of another script are one unit each.
        n: how many units a gram has; at least 1.
    """
    return rolled(units_of([text], characters=spaceless(language)).hashes, n)


def units_of(texts: Sequence[str | None], *, characters: bool) -> Units:
    """The hashes of the units of normalised texts; None has none.

    Args:
        texts: any texts.
        characters: whether the units are the characters of scripts without spaces, and words of others.
    """
    joined = _SEPARATOR.join([*(text or "" for text in texts), ""])
    if joined.count(_SEPARATOR) > len(texts):
        joined = _SEPARATOR.join([*((text or "").replace(_SEPARATOR, " ") for text in texts), ""])
    offsets = np.zeros(len(texts) + 1, dtype=np.int64)
    return Units(_units(_codes(joined), _kinds(), characters, offsets), offsets)


def text_grams(units: Units, n: int) -> Units:
    """The n-grams of each text, in their order; one of fewer than n units has one gram, which is itself.

    Args:
        units: of the texts.
        n: at least 1.
    """
    return Units(*_text_grams(units.hashes, units.offsets, n))


def _primary(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].lower()


def _codes(text: str) -> npt.NDArray[np.uint32]:
    """Code points in form KC, without case, which can undo the form.

    The dotless i is the dotted one, as both are where capitals come from another language's rules.
    """
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    return np.frombuffer(folded.replace("\u0131", "i").encode("utf-32-le", "surrogatepass"), dtype="<u4")


@cache
def _kinds() -> npt.NDArray[np.uint8]:
    """What to do with each code point; uint8 (0x110000,)."""
    kinds = np.full(0x110000, _SPACE, dtype=np.uint8)
    for code in range(len(kinds)):
        category = unicodedata.category(chr(code))
        if category[0] in "LN" or category in ("Mn", "Mc"):
            kinds[code] = _OF_WORD
        elif category in ("Cf", "Me"):
            kinds[code] = _DROP
    for first, last in _WITHOUT_SPACES:
        block = kinds[first : last + 1]
        block[block == _OF_WORD] = _CHARACTER
    for first, last in _OPTIONAL:
        kinds[first : last + 1] = _DROP
    kinds[0x200B] = _SPACE  # zero-width space
    kinds[ord(_SEPARATOR)] = _END
    return kinds


@compiled
def mixed(number: np.uint64) -> np.uint64:
    """A bijection of 64-bit numbers after which all bits depend on all (the finaliser of splitmix64)."""
    number = (number ^ (number >> _SHIFT_1)) * _ODD_1
    number = (number ^ (number >> _SHIFT_2)) * _ODD_2
    return number ^ (number >> _SHIFT_3)


@compiled
def _units(
    codes: npt.NDArray[np.uint32],
    kinds: npt.NDArray[np.uint8],
    characters: bool,
    offsets: npt.NDArray[np.int64],
) -> HashArray:
    hashes = np.empty(len(codes), dtype=np.uint64)
    units, text = 0, 0
    word = np.uint64(0)
    for code in codes:
        kind = kinds[code]
        if kind == _DROP:
            continue
        letter = kind == _OF_WORD or (kind == _CHARACTER and not characters)
        if word and not letter:
            hashes[units] = mixed(word)
            units += 1
            word = np.uint64(0)
        if letter:
            word = word * _BASE + np.uint64(code) + np.uint64(1)
        elif kind == _CHARACTER:
            hashes[units] = mixed(np.uint64(code) + np.uint64(1))
            units += 1
        if kind == _END:
            text += 1
            offsets[text] = units
    return hashes[:units].copy()


@compiled
def rolled(units: HashArray, n: int) -> HashArray:
    """Hashes of the n-grams of units, in their order: a polynomial in an odd base modulo 2^64, mixed.

    Args:
        units: uint64 (units,), of `Units`.
        n: at least 1.

    Returns:
        uint64 (max(0, units - n + 1),).
    """
    grams = np.empty(max(0, len(units) - n + 1), dtype=np.uint64)
    power, sum_ = np.uint64(1), np.uint64(0)
    for i in range(len(units)):
        sum_ = sum_ * _BASE + units[i]
        if i < n:
            power = power * _BASE
        else:
            sum_ -= power * units[i - n]
        if i >= n - 1:
            grams[i - n + 1] = mixed(sum_)
    return grams


@compiled
def whole(units: HashArray) -> np.uint64:
    """A hash of all units, which no gram has but by chance."""
    sum_ = np.uint64(len(units))
    for unit in units:
        sum_ = sum_ * _BASE + unit
    return mixed(sum_ ^ _WHOLE)


@compiled
def _text_grams(
    units: HashArray, offsets: npt.NDArray[np.int64], n: int
) -> tuple[HashArray, npt.NDArray[np.int64]]:
    grams = np.empty(len(units), dtype=np.uint64)
    ends = np.zeros(len(offsets), dtype=np.int64)
    for text in range(len(offsets) - 1):
        of_text = units[offsets[text] : offsets[text + 1]]
        count = min(len(of_text), max(1, len(of_text) - n + 1))
        start, end = ends[text], ends[text] + count
        if len(of_text) >= n:
            grams[start:end] = rolled(of_text, n)
        elif count:
            grams[start] = whole(of_text)
        ends[text + 1] = end
    return grams[: ends[-1]].copy(), ends
