import pytest

from hybrid_retrieval.reporting.language_names import language
from hybrid_retrieval.reporting.panels import languages_key


@pytest.mark.parametrize(
    ("code", "english", "own", "direction"),
    [
        ("ar", "Arabic", "العربية", "rtl"), ("th", "Thai", "ไทย", "ltr"), ("hi", "Hindi", "हिन्दी", "ltr"),
        ("zh", "Chinese", "中文", "ltr"), ("el", "Greek", "Ελληνικά", "ltr"),
        ("fa", "Persian", "فارسی", "rtl"), ("zh-Hant", "Traditional Chinese", "繁體中文", "ltr"),
        ("en", "English", "", "ltr"), ("xx-nothing", "xx-nothing", "", "ltr"),
    ],
)  # fmt: skip
def test_names_and_directions(code: str, english: str, own: str, direction: str) -> None:
    found = language(code)

    assert (found.english, found.own, found.direction) == (english, own, direction)


def test_the_key_tells_browsers_script_and_direction_and_keeps_text_text() -> None:
    page = languages_key(["ar", "<b>"])

    assert '<bdi lang="ar" dir="rtl">العربية</bdi>' in page
    assert "<b>&lt;b&gt;</b>" in page
