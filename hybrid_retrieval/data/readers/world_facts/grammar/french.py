"""French: articles, contraction and elision."""

from hybrid_retrieval.data.readers.world_facts.words import words

_MASCULINE = words(
    "AF AO AZ BD BF BI BJ BN BR BT BW BZ CA CL CM CR CV DK EC GA GB GH GL GT GY HN IQ IR JP KE KG KH KW "
    "KZ LA LB LI LK LR LS LU MA ME ML MW MX MZ NE NG NI NP PA PE PK PT PY QA RW SD SN SR SS SV SZ TD TG "
    "TJ TM UG UY UZ VE VN VU YE ZW"
)
_PLURAL = words("AE AX BM BQ BS CK FJ FO KM KY MH MP MV NL PH PN PW SB SC TC US")
_BARE = words(
    "AD AG AI AW BH BL CU CW CY DJ GG GI GU HT IL JE KI KN LC MC MG MS MT MU NR NU OM PM PR SG SH SM ST "
    "TK TO TT TV VC WF WS YT"
)
_BARE_EN = frozenset({"AD", "HT", "IL"})
_SPECIAL = {
    "AS": ("aux Samoa américaines", "des Samoa américaines"),
    "BB": ("à la Barbade", "de la Barbade"),
    "DM": ("à la Dominique", "de la Dominique"),
    "GD": ("à la Grenade", "de la Grenade"),
    "JM": ("en Jamaïque", "de la Jamaïque"),
    "IM": ("sur l’île de Man", "de l’île de Man"),
    "NF": ("sur l’île Norfolk", "de l’île Norfolk"),
    "RE": ("à La Réunion", "de La Réunion"),
    "VA": ("dans l’État de la Cité du Vatican", "de l’État de la Cité du Vatican"),
}
_FEMININE_CURRENCIES = words("couronne hryvnia livre roupie rufiyaa")
_PLURAL_REGIONS = {"019": ("des Amériques", "les Amériques"), "029": ("des Caraïbes", "les Caraïbes")}
# An h that forbids elision, and y as a consonant.
_ASPIRATED = (
    "haoussa",
    "hawaïen",
    "hindi",
    "hiligaynon",
    "hond",
    "hong",
    "hiri",
    "yaourt",
    "yoruba",
    "yiddish",
    "yi",
)


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:  # noqa: PLR0911 - one a type
    """`in`, `of` and `the` of territories; `of` and `the` of other names."""
    match type_:
        case "territory":
            return _territory(key, citation)
        case "region":
            if key in _PLURAL_REGIONS:
                of, the = _PLURAL_REGIONS[key]
                return {"of": of, "the": the}
            return {"the": _the(citation, feminine=True), "of": "de " + _the(citation, feminine=True)}
        case "city":
            if citation.startswith("Le "):
                return {"of": f"du {citation[3:]}"}
            return {"of": f"d’{citation}" if _elides(citation) else f"de {citation}"}
        case "currency":
            feminine = citation.split(maxsplit=1)[0] in _FEMININE_CURRENCIES
            return {"the": _the(citation, feminine), "of": _of(citation, feminine)}
        case "language":
            return {"the": _the(citation, False), "of": _of(citation, False)}
        case "weekday":
            return {"the": f"le {citation}"}
        case "time_zone":
            return {"the": _the(citation, feminine=True)}
        case "unit" | "quantity":
            return {"of": f"d’{citation}" if _elides(citation) else f"de {citation}"}
    return {}


def _territory(key: str, citation: str) -> dict[str, str]:
    name = citation.replace("Îles", "îles", 1) if citation.startswith("Îles") else citation
    if key in _SPECIAL:
        where, of = _SPECIAL[key]
    elif key in _PLURAL:
        where, of = f"aux {name}", f"des {name}"
    elif key in _BARE:
        where = f"en {name}" if key in _BARE_EN else f"à {name}"
        of = f"d’{name}" if _elides(name) else f"de {name}"
    else:
        masculine = key in _MASCULINE
        where = f"au {name}" if masculine and not _elides(name) else f"en {name}"
        of = _of(name, not masculine)
    return {"in": where, "of": of, "the": _nominative(of)}


def _nominative(of: str) -> str:
    """The name with its article, from the form after de."""
    if of.startswith(("de l", "de L")):
        return of[3:]
    for contracted, article in (("du ", "le "), ("des ", "les "), ("de ", ""), ("d’", "")):
        if of.startswith(contracted):
            return article + of[len(contracted) :]
    return of


def _the(noun: str, feminine: bool) -> str:
    if _elides(noun):
        return f"l’{noun}"
    return f"la {noun}" if feminine else f"le {noun}"


def _of(noun: str, feminine: bool) -> str:
    if not feminine and not _elides(noun):
        return f"du {noun}"
    return f"de {_the(noun, feminine)}"


def _elides(noun: str) -> bool:
    lower = noun.lower()
    if lower.startswith(_ASPIRATED) or lower.startswith(("ouguiya", "ouzb", "yé", "ya", "yi", "yo")):
        return lower.startswith("ouzb")
    return lower[0] in "aeiouyéèêâîôûàœåáóíúü" or lower.startswith(("hé", "ho", "he", "ha"))
