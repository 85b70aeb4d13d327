import pytest

from hybrid_retrieval.data.statistics.scripts import MIN_LETTERS, other_script, scripts_of_language

ENGLISH = "Click the button to save your work and close the window."
RUSSIAN = "Нажмите кнопку, чтобы сохранить работу и закрыть окно."
CHINESE = "单击该按钮以保存您的工作并关闭窗口，然后重新启动计算机，并确认所有更改均已成功应用到系统中。"


@pytest.mark.parametrize(
    ("language", "scripts"),
    [
        ("de", {"Latn"}),
        ("ru", {"Cyrl"}),
        ("sr", {"Cyrl", "Latn"}),
        ("sr-latn", {"Latn"}),
        ("zh", {"Hani"}),
        ("zh-hant", {"Hani"}),
        ("ja", {"Hani", "Kana"}),
        ("ko", {"Hang"}),
        ("hi", {"Deva"}),
        ("pt-br", {"Latn"}),
        ("pa", {"Guru", "Arab"}),
        ("qqq", set()),
    ],
)
def test_scripts_of_a_language_are_those_of_cldr(language: str, scripts: set[str]) -> None:
    assert scripts_of_language(language) == scripts


@pytest.mark.parametrize(
    ("text", "language", "script"),
    [
        (ENGLISH, "ru", "Latn"),
        (ENGLISH, "th", "Latn"),
        (RUSSIAN, "de", "Cyrl"),
        (RUSSIAN, "zh", "Cyrl"),
        (CHINESE, "ja", "Hani"),
        (CHINESE, "ko", "Hani"),
        (RUSSIAN.replace("о", "ο"), "en", "Cyrl"),
    ],
)
def test_a_text_in_another_script_is_a_suspect(text: str, language: str, script: str) -> None:
    assert other_script(text, language) == script


@pytest.mark.parametrize(
    ("text", "language"),
    [
        (RUSSIAN, "ru"),
        (RUSSIAN, "sr"),
        (ENGLISH, "de"),  # of one script: cannot be seen
        (CHINESE, "zh"),
        (CHINESE[:20], "ja"),
        ("Internet Explorer 中的 JAWS 屏幕阅读器", "zh"),
        ("JAWS в Internet Explorer", "ru"),
        ("static getDerivedStateFromProps()", "el"),
        ("React.Children.toArray.somethingElse", "ja"),
        ("`npm install hybrid retrieval tools please` ใช้", "th"),
        ("https://example.org/a/long/path/of/letters/only", "ar"),
        ("Microsoft Windows", "ja"),
        ("ＡＢＣＤＥＦＧＨＩＪＫＬＭＮＯＰＱＲＳＴＵＶＷ", "en"),  # full-width Latin
        (ENGLISH, "qqq"),
        ("12345 67890 !?", "ru"),
    ],
)
def test_what_is_usual_is_no_suspect(text: str, language: str) -> None:
    assert other_script(text, language) is None


def test_short_texts_are_not_judged() -> None:
    assert other_script("a" * (MIN_LETTERS - 1), "ru") is None
    assert other_script("a" * MIN_LETTERS, "ru") == "Latn"


def test_a_few_letters_of_its_own_clear_a_short_text_and_not_a_long_one() -> None:
    assert other_script("a" * 49 + "я", "ru") == "Latn"
    assert other_script("a" * 48 + "я", "ru") is None
