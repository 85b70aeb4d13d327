"""Spanish: articles of territories and currencies."""

from hybrid_retrieval.data.readers.world_facts.words import words

_ARTICLE = {
    "AE": "los",
    "BM": "las",
    "BQ": "el",
    "BS": "las",
    "CF": "la",
    "DO": "la",
    "GB": "el",
    "GF": "la",
    "IM": "la",
    "IN": "la",
    "KM": "las",
    "MV": "las",
    "NF": "la",
    "NL": "los",
    "PF": "la",
    "SC": "las",
    "VA": "la",
}
_FEMININE_CURRENCIES = words("corona grivna leva libra lira rufiya rupia")
_REGION_ARTICLE = {"029": "el", "035": "el", "057": "la"}


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`in`, `of` of territories and regions; `the`, `of` of currencies and languages; `the` of weekdays."""
    if type_ in ("territory", "region"):
        article = (_ARTICLE if type_ == "territory" else _REGION_ARTICLE).get(key)
        if article is None and citation.startswith("Islas"):
            article = "las"
        name = f"{article} {citation}" if article else citation
        return {"the": name, "in": f"en {name}", "of": f"de {name}".replace("de el ", "del ")}
    if type_ in ("currency", "language", "weekday", "time_zone"):
        feminine = type_ == "time_zone" or (
            type_ == "currency" and citation.split(maxsplit=1)[0] in _FEMININE_CURRENCIES
        )
        if feminine:
            return {"the": f"la {citation}", "of": f"de la {citation}"}
        return {"the": f"el {citation}", "of": f"del {citation}"}
    return {}
