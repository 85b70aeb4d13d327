"""German: territories with an article, scripts as noun phrases."""

from hybrid_retrieval.data.readers.world_facts.words import words

# Of the territories with an article: in + dative, genitive.
_ARTICLE = {
    "AE": ("in den Vereinigten Arabischen Emiraten", "der Vereinigten Arabischen Emirate"),
    "AX": ("auf den Ålandinseln", "der Ålandinseln"),
    "BQ": ("in den Karibischen Niederlanden", "der Karibischen Niederlande"),
    "BS": ("auf den Bahamas", "der Bahamas"),
    "CF": ("in der Zentralafrikanischen Republik", "der Zentralafrikanischen Republik"),
    "CH": ("in der Schweiz", "der Schweiz"),
    "CK": ("auf den Cookinseln", "der Cookinseln"),
    "DO": ("in der Dominikanischen Republik", "der Dominikanischen Republik"),
    "FO": ("auf den Färöern", "der Färöer"),
    "GB": ("im Vereinigten Königreich", "des Vereinigten Königreichs"),
    "IM": ("auf der Isle of Man", "der Isle of Man"),
    "IQ": ("im Irak", "des Irak"),
    "IR": ("im Iran", "des Iran"),
    "KM": ("auf den Komoren", "der Komoren"),
    "KY": ("auf den Kaimaninseln", "der Kaimaninseln"),
    "LB": ("im Libanon", "des Libanon"),
    "MD": ("in der Republik Moldau", "der Republik Moldau"),
    "MH": ("auf den Marshallinseln", "der Marshallinseln"),
    "MN": ("in der Mongolei", "der Mongolei"),
    "MP": ("auf den Nördlichen Marianen", "der Nördlichen Marianen"),
    "MV": ("auf den Malediven", "der Malediven"),
    "NE": ("im Niger", "des Niger"),
    "NF": ("auf der Norfolkinsel", "der Norfolkinsel"),
    "NL": ("in den Niederlanden", "der Niederlande"),
    "PH": ("auf den Philippinen", "der Philippinen"),
    "PN": ("auf den Pitcairninseln", "der Pitcairninseln"),
    "SB": ("auf den Salomonen", "der Salomonen"),
    "SC": ("auf den Seychellen", "der Seychellen"),
    "SD": ("im Sudan", "des Sudan"),
    "SK": ("in der Slowakei", "der Slowakei"),
    "SN": ("im Senegal", "des Senegal"),
    "SS": ("im Südsudan", "des Südsudan"),
    "TC": ("auf den Turks- und Caicosinseln", "der Turks- und Caicosinseln"),
    "TD": ("im Tschad", "des Tschad"),
    "TR": ("in der Türkei", "der Türkei"),
    "UA": ("in der Ukraine", "der Ukraine"),
    "US": ("in den Vereinigten Staaten", "der Vereinigten Staaten"),
    "VA": ("in der Vatikanstadt", "der Vatikanstadt"),
    "VC": ("in St. Vincent und den Grenadinen", "von St. Vincent und den Grenadinen"),
    "YE": ("im Jemen", "des Jemen"),
}
# Islands that are not commonly spoken of as states.
_ON = words("AI AW BL BM CW GG GP GU JE KI MQ MS NR NU PR RE SH TK YT")


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`in` and `of` of territories; `phrase` (without article) and `dat` (after `der`) of scripts."""
    if type_ == "territory":
        where = f"auf {citation}" if key in _ON else f"in {citation}"
        place, of = _ARTICLE.get(key, (where, f"von {citation}"))
        return {"in": place, "of": of}
    if type_ == "script":
        return {"phrase": _script(citation), "dat": _script(citation, "en")}
    return {}


def _script(citation: str, ending: str = "e") -> str:
    first, *rest = citation.split(" ")
    if citation.endswith("isch") and not rest:
        return f"{first.lower()}{ending} Schrift"
    if "schrift" in citation.lower() or "Alphabet" in citation or "Runen" in citation:
        return citation
    return f"{citation.replace(' ', '-')}-Schrift"
