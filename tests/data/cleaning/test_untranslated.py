"""Which language keeps a passage that several have."""

import numpy as np
import pytest

from hybrid_retrieval.data.cleaning.normalise import normalise, text_hashes
from hybrid_retrieval.data.cleaning.untranslated import copies, keep, main_script


@pytest.mark.parametrize(
    ("text", "languages", "expected"),
    [
        ("A sentence", ["de", "en", "zh"], ["en"]),
        ("Une phrase", ["de", "es", "zh"], []),  # of no language that can be told
        ("Une phrase", ["fr", "ru", "zh"], ["fr"]),
        ("Uma frase", ["pt", "pt-br"], ["pt", "pt-br"]),
        ("Uma frase", ["pt", "pt-br", "ru"], ["pt", "pt-br"]),
        ("一句话", ["en", "zh", "zh-tw"], ["zh", "zh-tw"]),
        ("一句话", ["en", "ja"], ["ja"]),
        ("Предложение", ["en", "ru"], ["ru"]),
        ("Предложение", ["ru", "sr"], []),  # Serbian has both scripts
        ("Предложение", ["ru", "sr-latn"], ["ru"]),
        ("A sentence", ["de", "pa", "qqq"], []),
        ("A sentence", ["pa", "qqq"], ["qqq"]),
        ("ꕉꕜꕮ ꔔꘋ", ["de", "ru"], []),  # Vai
        ("Πρόταση", ["de", "en"], []),
        ("ประโยค", ["en", "th"], ["th"]),
        ("42", ["de", "en"], ["de", "en"]),
        ("一个 API 的文档", ["en", "zh"], ["zh"]),
    ],
)
def test_the_language_that_keeps_a_text(text: str, languages: list[str], expected: list[str]) -> None:
    assert keep(text, languages) == expected
    assert sorted(keep(text, languages[::-1])) == expected


def test_the_script_of_most_letters() -> None:
    assert main_script("Die Funktion foo() – 函数") == "Latn"
    assert main_script("ひらがな 漢字") == "Kana"
    assert main_script("1, 2!") is None


def test_copies_are_found_in_groups_of_equal_texts() -> None:
    passages: dict[str, list[str | None]] = {
        "de": ["Same one", "x y", None, "42", "gleich hier"],
        "en": ["same  ONE", "other", "z", "42", "different"],
        "nl": ["anders", "x y", "z", "42", "Gleich hier"],
    }
    hashes = [text_hashes(texts) for texts in passages.values()]
    found = copies(hashes, list(passages), lambda language, number: passages[language][number] or "")
    expected = {"de": [0, 1, 4], "en": [], "nl": [1, 2, 4]}
    assert {code: np.flatnonzero(of).tolist() for code, of in zip(passages, found, strict=True)} == expected


def test_normalisation_is_of_case_space_and_compatibility() -> None:
    assert normalise(" Ｓtraße\u00a0 ﬁn\n") == "strasse fin"
    assert text_hashes(["A  b", "a B", "ab", None]).tolist()[3] == 0
    one, two, three, _ = text_hashes(["A  b", "a B", "ab", None]).tolist()
    assert one == two != three


@pytest.mark.parametrize("text", ["ΐ", "ǰ", "ß", "İ", "ﷺ", "ẞ", "ᾳ", "\u0345α", "①②", "ｶﾞ"])
def test_normalising_twice_changes_nothing(text: str) -> None:
    assert normalise(normalise(text)) == normalise(text)
