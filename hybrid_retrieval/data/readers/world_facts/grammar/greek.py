"""Greek: articles of names, and the accusative."""

from hybrid_retrieval.data.readers.world_facts.words import words

_ACCUSATIVE = {
    "BL": "Άγιο Βαρθολομαίο",
    "CA": "Καναδά",
    "EC": "Ισημερινό",
    "LB": "Λίβανο",
    "MU": "Μαυρίκιο",
    "NE": "Νίγηρα",
    "PA": "Παναμά",
    "SM": "Άγιο Μαρίνο",
    "VC": "Άγιο Βικέντιο και Γρεναδίνες",
    "CY": "Κύπρο",
    "EG": "Αίγυπτο",
    "IM": "Νήσο του Μαν",
    "NF": "Νήσο Νόρφολκ",
}
_MASCULINE = words("BL CA EC LB MU NE PA SM VC")
_FEMININE = words("BF BQ CI CY EG GW IM MQ NF RE SL YT ZW")
_PLURAL = words("BM BS KM MV NL PH SC US")
_NEUTER_PLURAL = frozenset({"AE", "BB"})
# The final ν of τη(ν), στη(ν) stays before vowels and stops.
_KEEPS_N = (*"αάεέηήιίϊΐοόυύϋωώκπτξψ", "γκ", "μπ", "ντ", "τσ", "τζ")
_FEMININE_CURRENCIES = words("Κορόνα Λίρα Ρουπία Ρουφίγια Γρίβνα Χρυσή")


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:  # noqa: PLR0911 - one a type
    """`nom` and `acc` (with article), `in` (after σε) of names; `phrase` (without article) of scripts."""
    match type_:
        case "territory":
            return _territory(key, citation)
        case "region":
            accusative = citation.replace("Νότιος", "Νότια").replace("Βόρειος", "Βόρεια")
            return {"": accusative, "in": f"σ{_the_feminine(accusative)}"}
        case "currency":
            if citation.split(maxsplit=1)[0] in _FEMININE_CURRENCIES:
                return {"nom": f"η {citation}", "acc": _the_feminine(citation)}
            return {"nom": f"το {citation}", "acc": f"το {citation}"}
        case "language":
            return _language(citation)
        case "weekday":
            if citation == "Σάββατο":
                return {"nom": f"το {citation}", "acc": f"το {citation}"}
            return {"nom": f"η {citation}", "acc": _the_feminine(citation)}
        case "script":
            return {"phrase": _script(citation)}
    return {}


def _territory(key: str, citation: str) -> dict[str, str]:
    if key in _MASCULINE:
        accusative = _ACCUSATIVE[key]
        return {"acc": f"τον {accusative}", "in": f"στον {accusative}", "nom": f"ο {citation}"}
    if citation.startswith("Νήσοι "):
        islands = citation.replace("Νήσοι", "Νήσους", 1)
        return {"acc": f"τις {islands}", "in": f"στις {islands}", "nom": f"οι {citation}"}
    if key in _PLURAL:
        return {"acc": f"τις {citation}", "in": f"στις {citation}", "nom": f"οι {citation}"}
    if key in _NEUTER_PLURAL:
        return {"acc": f"τα {citation}", "in": f"στα {citation}", "nom": f"τα {citation}"}
    feminine = key in _FEMININE or (citation[-1] in "αάηή" and " και " not in citation) or key == "AG"
    if feminine:
        accusative = _the_feminine(_ACCUSATIVE.get(key, citation))
        return {"acc": accusative, "in": f"σ{accusative}", "nom": f"η {citation}"}
    return {"acc": f"το {citation}", "in": f"στο {citation}", "nom": f"το {citation}"}


def _the_feminine(noun: str) -> str:
    return f"την {noun}" if noun.lower().startswith(_KEEPS_N) else f"τη {noun}"


def _language(citation: str) -> dict[str, str]:
    """Most names are neuter plurals (τα Γαλλικά); the others stand beside the word γλώσσα."""
    if citation.endswith(("κά", "νά", "ζικα")):
        return {"acc": f"τα {citation}", "in": f"στα {citation}", "nom": f"τα {citation}"}
    return {"acc": f"τη γλώσσα {citation}", "in": f"στη γλώσσα {citation}", "nom": f"τα {citation}"}


def _script(citation: str) -> str:
    if citation.endswith(("κό", "νό")):
        return (
            f"{citation[0].lower()}{citation[1:]} σύστημα γραφής"
            if " " not in citation
            else (f"{citation.lower()} σύστημα γραφής")
        )
    return f"σύστημα γραφής {citation}"
