"""Turkish: locative and genitive by vowel harmony, with the apostrophe of proper names."""

_HARMONY = {"a": "ı", "ı": "ı", "o": "u", "u": "u", "e": "i", "i": "i", "ö": "ü", "ü": "ü"}
_PLAIN = str.maketrans("âîûéáíóúåAIEİOÖUÜÅÉ", "aiueaiouaaıeioöuüae")
# Noun compounds with the possessive suffix take n before a case suffix.
_COMPOUND = (
    "Adaları",
    "Adası",
    "Devletleri",
    "Emirlikleri",
    "Cumhuriyeti",
    "Samoası",
    "Hollandası",
    "Guyanası",
    "Ginesi",
    "Polinezyası",
)
_IRREGULAR = {
    "BL": ("Saint Barthelemy’de", "Saint Barthelemy’nin"),
    "CI": ("Côte d’Ivoire’da", "Côte d’Ivoire’ın"),
    "GG": ("Guernsey’de", "Guernsey’nin"),
    "GP": ("Guadeloupe’ta", "Guadeloupe’un"),
    "JE": ("Jersey’de", "Jersey’nin"),
    "NP": ("Nepal’de", "Nepal’in"),
    "SN": ("Senegal’de", "Senegal’in"),
    "YT": ("Mayotte’ta", "Mayotte’un"),
    "IE": ("İrlanda’da", "İrlanda’nın"),
}


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`in` (locative) and `of` (genitive) of territories and regions; `phrase` of languages and
    scripts; `mid` (within a sentence) of weekdays.
    """
    if type_ in ("territory", "region"):
        if type_ == "territory" and key in _IRREGULAR:
            place, of = _IRREGULAR[key]
        else:
            place, of = _locative(citation), _genitive(citation)
        return {"in": place, "of": of}
    if type_ == "language":
        return {"phrase": citation}
    if type_ == "script":
        bare = citation.removesuffix(" Dili")
        return {"phrase": bare if "Yazısı" in bare else f"{bare} alfabesi"}
    if type_ == "weekday":
        return {"mid": citation.lower()}
    return {}


def _vowels(name: str) -> list[str]:
    return [letter for letter in name.translate(_PLAIN).lower() if letter in _HARMONY]


def _suffix_vowel(name: str) -> str:
    return _HARMONY[_vowels(name)[-1]]


def _low(name: str) -> str:
    return "a" if _suffix_vowel(name) in "ıu" else "e"


def _ends_in_vowel(name: str) -> bool:
    return name[-1].translate(_PLAIN).lower() in _HARMONY


def _is_compound(name: str) -> bool:
    return name.endswith(_COMPOUND) or name.endswith(("Bölgesi", "’nın Güneyi", "’nın Kuzeyi"))


def _locative(name: str) -> str:
    joint = "" if "’" in name and _is_compound(name) else "’"
    if _is_compound(name):
        return f"{name}{joint}nd{_low(name)}"
    hard = name[-1] in "çfhkpsşt"
    return f"{name}’{'t' if hard else 'd'}{_low(name)}"


def _genitive(name: str) -> str:
    joint = "" if "’" in name and _is_compound(name) else "’"
    buffer = "n" if _ends_in_vowel(name) else ""
    return f"{name}{joint}{buffer}{_suffix_vowel(name)}n"
