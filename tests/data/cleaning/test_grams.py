"""Words, characters and n-grams, against an implementation that goes letter by letter."""

import random
import unicodedata
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba.core.dispatcher import Dispatcher

from hybrid_retrieval.data.cleaning import gram_table, grams, shingles
from hybrid_retrieval.data.cleaning.grams import (
    gram_hashes,
    gram_length,
    normalized,
    rolled,
    spaceless,
    text_grams,
    units_of,
    whole,
    words_of,
)

PIECES = (
    *"aZß0９ﬁéİıЯё",
    *(
        "e\u0301",
        "I\u0307",
        "Straße",
        "don't",
        "U.S.",
        "1\ufe0f\u20e3",
        "½",
        "x\u00ady",
        "x\u200by",
        "a\u200db",
    ),
    *("مُحَمَّد", "محمد", "كتـــاب", "ﻻ", "שָׁלוֹם", "שלום", "हिन्दी", "क्षेत्र", "বাংলা", "தமிழ்"),
    *("ไทย", "กำ", "ภาษา", "ລາວ", "ខ្មែរ", "မြန်မာ", "漢字", "中文", "カタカナ", "ｶﾞ", "々", "ー", "한국어"),
    *("❤️", "👩‍👩‍👧", "😀", "…", "«", "»", "。", "、", "\n", " ", "\u3000", "\uffff", "\ud800", "\x00"),
)
TEXTS = st.lists(st.sampled_from(PIECES) | st.characters(), max_size=12).map("".join)


def is_character(letter: str) -> bool:
    """Whether a letter belongs to a script without spaces, by its name."""
    name = unicodedata.name(letter, "")
    scripts = (
        "CJK UNIFIED",
        "CJK COMPATIBILITY IDEO",
        "HIRAGANA",
        "KATAKANA",
        "THAI",
        "LAO",
        "KHMER",
        "MYANMAR",
    )
    others = (
        "IDEOGRAPHIC ITERATION",
        "IDEOGRAPHIC CLOSING",
        "IDEOGRAPHIC NUMBER ZERO",
        "VERTICAL IDEOGRAPHIC",
    )
    sound_marks = ("COMBINING KATAKANA-HIRAGANA", "MASU MARK")
    return name.startswith((*scripts, *others, *sound_marks))


def reference_units(text: str, *, characters: bool) -> list[str]:
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", text).casefold())
    units, open_word = list[str](), False
    for letter in folded.replace("\u0131", "i"):
        name, category = unicodedata.name(letter, ""), unicodedata.category(letter)
        if letter == "\u200b":
            open_word = False
        elif (
            category in ("Cf", "Me")
            or letter in "\u0307\u034f\u0640\u0670"
            or "VARIATION SELECTOR-" in name
            or "\u064b" <= letter <= "\u0652"
            or ("HEBREW" in name and category == "Mn" and "VARIKA" not in name)
        ):
            continue
        elif category[0] in "LNM":
            alone = characters and is_character(letter)
            if open_word and not alone:
                units[-1] += letter
            else:
                units.append(letter)
            open_word = not alone
        else:
            open_word = False
    return units


@settings(max_examples=150, deadline=None)
@given(text=TEXTS, characters=st.booleans())
def test_units_are_those_of_the_reference(text: str, characters: bool) -> None:
    assert words_of(text, characters=characters) == reference_units(text, characters=characters)


def test_units_of_thousands_of_texts_are_those_of_the_reference() -> None:
    draw = random.Random(0)
    letters = [chr(code) for code in range(0x20, 0x11000) if unicodedata.category(chr(code))[0] in "LMN"]
    for _ in range(4000):
        text = "".join(draw.choice(draw.choice((PIECES, letters, " "))) for _ in range(draw.randrange(12)))
        for characters in (False, True):
            assert words_of(text, characters=characters) == reference_units(text, characters=characters), text


@settings(max_examples=100, deadline=None)
@given(texts=st.lists(TEXTS | st.none(), max_size=6), characters=st.booleans())
def test_hashes_are_equal_where_units_are(texts: list[str | None], characters: bool) -> None:
    hashes, offsets = units_of(texts, characters=characters)
    units = [words_of(text or "", characters=characters) for text in texts]

    assert np.diff(offsets).tolist() == [len(of_text) for of_text in units]
    flat = [unit for of_text in units for unit in of_text]
    assert len(hashes) == len(flat)
    assert len(set(zip(flat, hashes.tolist(), strict=True))) == len(set(flat)) == len(set(hashes.tolist()))


@settings(max_examples=100, deadline=None)
@given(text=TEXTS)
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalized(text)
    assert normalized(once) == once == " ".join(words_of(text, characters=False))


@settings(deadline=None)
@given(numbers=st.lists(st.integers(0, 3), max_size=30), n=st.integers(1, 9))
def test_grams_are_equal_where_their_units_are(numbers: list[int], n: int) -> None:
    words = [f"w{number}" for number in numbers]
    found = gram_hashes(" ".join(words), "en", n).tolist()
    expected = [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]

    assert len(found) == len(expected)
    assert len(set(zip(expected, found, strict=True))) == len(set(expected)) == len(set(found))


@pytest.mark.parametrize("module", [grams, gram_table, shingles])
def test_compiled_functions_call_those_of_their_own_file_alone(module: ModuleType) -> None:
    """What Numba keeps of a function goes on with the old code of a function of another file."""
    dispatchers = {name: value for name, value in vars(module).items() if isinstance(value, Dispatcher)}
    assert dispatchers
    assert {value.py_func.__module__ for value in dispatchers.values()} == {module.__name__}


def test_grams_of_a_text_are_its_own_whatever_lies_beside_it() -> None:
    texts = ["a b c d", None, "a b", "c d e", "a b c d e f"]
    hashes, offsets = text_grams(units_of(texts, characters=False), 3)
    assert np.diff(offsets).tolist() == [2, 0, 1, 1, 4]
    expected = [gram_hashes(text or "", "en", 3).tolist() for text in texts]
    expected[2] = [int(whole(units_of(["a b"], characters=False).hashes))]
    assert hashes.tolist() == [gram for of_text in expected for gram in of_text]


def test_the_whole_of_a_text_is_no_gram() -> None:
    hashes = units_of(["one two three"], characters=False).hashes
    assert whole(hashes) not in rolled(hashes, 3)
    assert len({int(whole(hashes[:n])) for n in range(4)}) == 4


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("«Hello», WORLD…", "hello world"),
        ("ＦＵＬＬ　ｗｉｄｔｈ", "full width"),
        ("STRASSE Straße", "strasse strasse"),
        ("İSTANBUL ISI ısı istanbul", "istanbul isi isi istanbul"),
        ("مُحَمَّد كتـــاب", "محمد كتاب"),
        ("שָׁלוֹם", "שלום"),
        ("हिन्दी में", "हिन्दी में"),
        ("co\u00adop\u200berate", "coop erate"),
        ("I ❤️ 👩‍👩‍👧!", "i"),
        ("e\u0301té", "été"),
        ("—", ""),
    ],
)
def test_normalised_by_hand(text: str, expected: str) -> None:
    assert normalized(text) == unicodedata.normalize("NFKC", expected)


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("在2009年，ABC电视。", ["在", "2009", "年", "abc", "电", "视"]),
        ("ภาษา Thai", [*"ภาษา", "thai"]),
        ("カタカナ ｶﾞ", [*"カタカナガ"]),
    ],
)
def test_characters_and_the_words_between_them(text: str, units: list[str]) -> None:
    assert words_of(text, characters=True) == units


def test_spaces_between_characters_make_no_difference() -> None:
    assert (
        gram_hashes("今天 天气，很好", "zh", 3).tolist() == gram_hashes("今天天气很好", "zh-hant", 3).tolist()
    )
    assert gram_hashes("今天 天气", "ko", 1).tolist() != gram_hashes("今天天气", "ko", 1).tolist()


def test_languages_without_spaces() -> None:
    assert [code for code in ("zh", "zh_cn", "ZH-Hant", "ja", "th", "km", "lo", "my") if spaceless(code)] == [
        *("zh", "zh_cn", "ZH-Hant", "ja", "th", "km", "lo", "my")
    ]
    assert not any(spaceless(code) for code in ("en", "ko", "vi", "ar", "hi"))
    assert [gram_length(code, 8) for code in ("en", "zh", "ja", "th", "km", "my")] == [8, 13, 18, 39, 46, 54]
