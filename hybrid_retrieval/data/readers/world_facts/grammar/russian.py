"""Russian: the prepositional with в or на, the genitive, and adjectival names of languages and scripts."""

from hybrid_retrieval.data.readers.world_facts.words import words

_ON = words(
    "AI AW BB BL BS CK CU CW CY DM FJ FO GD GP GU HT IM JE JM KM KY MG MH MP MQ MS MT MU MV NF NR NU PH "
    "PN PR RE SB SC SH TC WF YT AX BM GG BQ"
)
# Names that the rules below do not cover: prepositional, genitive.
_IRREGULAR = {
    "AE": ("ОАЭ", "ОАЭ"),
    "AG": ("Антигуа и Барбуде", "Антигуа и Барбуды"),
    "AI": ("Ангилье", "Ангильи"),
    "AS": ("Американском Самоа", "Американского Самоа"),
    "AX": ("Аландских островах", "Аландских островов"),
    "BM": ("Бермудских островах", "Бермудских островов"),
    "BQ": ("островах Бонэйр, Синт-Эстатиус и Саба", "островов Бонэйр, Синт-Эстатиус и Саба"),
    "BS": ("Багамах", "Багам"),
    "CK": ("островах Кука", "островов Кука"),
    "CR": ("Коста-Рике", "Коста-Рики"),
    "FM": ("Федеративных Штатах Микронезии", "Федеративных Штатов Микронезии"),
    "FO": ("Фарерских островах", "Фарерских островов"),
    "GW": ("Гвинее-Бисау", "Гвинеи-Бисау"),
    "IM": ("острове Мэн", "острова Мэн"),
    "KM": ("Коморах", "Комор"),
    "KP": ("КНДР", "КНДР"),
    "KR": ("Республике Корея", "Республики Корея"),
    "KY": ("островах Кайман", "островов Кайман"),
    "LK": ("Шри-Ланке", "Шри-Ланки"),
    "MH": ("Маршалловых островах", "Маршалловых островов"),
    "MP": ("Северных Марианских островах", "Северных Марианских островов"),
    "MU": ("Маврикии", "Маврикия"),
    "MV": ("Мальдивах", "Мальдив"),
    "NF": ("острове Норфолк", "острова Норфолк"),
    "NI": ("Никарагуа", "Никарагуа"),
    "NL": ("Нидерландах", "Нидерландов"),
    "PG": ("Папуа — Новой Гвинее", "Папуа — Новой Гвинеи"),
    "PH": ("Филиппинах", "Филиппин"),
    "PN": ("островах Питкэрн", "островов Питкэрн"),
    "SB": ("Соломоновых островах", "Соломоновых островов"),
    "SC": ("Сейшельских островах", "Сейшельских островов"),
    "SH": ("острове Святой Елены", "острова Святой Елены"),
    "TC": ("островах Тёркс и Кайкос", "островов Тёркс и Кайкос"),
    "US": ("Соединенных Штатах", "Соединенных Штатов"),
    "VC": ("Сент-Винсенте и Гренадинах", "Сент-Винсента и Гренадин"),
    "WS": ("Самоа", "Самоа"),
    "BY": ("Беларуси", "Беларуси"),
    "GG": ("Гернси", "Гернси"),
    "ST": ("Сан-Томе и Принсипи", "Сан-Томе и Принсипи"),
}
_REGION_OF = {"029": "Карибов", "021": "Североамериканского региона"}


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`in`, `of` of territories; `of` of regions; `nom`, `of`, `in` of languages; `nom` of scripts.

    A time zone that CLDR names by a place alone is called its standard time.
    """
    match type_:
        case "territory":
            place, of = _IRREGULAR.get(key, (_decline(citation, 0), _decline(citation, 1)))
            return {"in": f"{_preposition(key, place)} {place}", "of": of}
        case "region":
            return {"of": _REGION_OF.get(key, _decline(citation, 1))}
        case "language":
            return _language(citation)
        case "time_zone" if "время" not in citation:
            return {"": f"{citation}, стандартное время"}
        case "script":
            return {"nom": _script(citation)}
    return {}


def _script(citation: str) -> str:
    if citation.endswith("ая"):
        return f"{citation} письменность"
    return citation if citation.endswith("ица") else f"письменность {citation}"


def _preposition(key: str, place: str) -> str:
    if key in _ON:
        return "на"
    before_cluster = place[0] in "ВФ" and place[1].lower() not in "аеёиоуыэюя"
    return "во" if before_cluster else "в"


def _decline(name: str, case: int) -> str:
    """Each word on its own; case 0 is the prepositional, 1 the genitive."""
    return " ".join(word if word == "и" else _decline_word(word)[case] for word in name.split(" "))


def _decline_word(word: str) -> tuple[str, str]:  # noqa: PLR0911 - one an ending
    stem = word[:-1]
    if word.endswith("ая"):
        adjective = f"{word[:-2]}ой"
        return adjective, adjective
    if word.endswith("ый"):
        return f"{word[:-2]}ом", f"{word[:-2]}ого"
    if word.endswith("ий"):
        return f"{word[:-2]}ом", f"{word[:-2]}ого"
    if word.endswith("ия"):
        return f"{stem}и", f"{stem}и"
    if word.endswith(("ея", "ья")):
        return f"{stem}е", f"{stem}и"
    match word[-1]:
        case "а":
            return f"{stem}е", stem + ("и" if stem[-1] in "кгхжшчщ" else "ы")
        case "я":
            return f"{stem}е", f"{stem}и"
        case "й":
            return f"{stem}е", f"{stem}я"
        case "ь":
            return f"{stem}е", f"{stem}я"
        case last if last in "оеиуюэёы":
            return word, word
        case _:
            return _consonant(word)


def _consonant(word: str) -> tuple[str, str]:
    # Египет loses its vowel.
    if word == "Египет":
        return "Египте", "Египта"
    return f"{word}е", f"{word}а"


def _language(citation: str) -> dict[str, str]:
    if citation.endswith(("ский", "цкий", "ный", "кий")) and "-сото" not in citation:
        genitive = _adjective(citation, "ого")
        prepositional = _adjective(citation, "ом")
        return {
            "nom": f"{citation} язык",
            "of": f"{genitive} языка",
            "in": f"на {prepositional} языке",
        }
    return {
        "nom": f"язык {citation}",
        "of": f"языка {citation}",
        "in": f"на языке {citation}",
    }


def _adjective(citation: str, ending: str) -> str:
    return " ".join(
        word[:-2] + ending if word.endswith(("ий", "ый")) else word for word in citation.split(" ")
    )
