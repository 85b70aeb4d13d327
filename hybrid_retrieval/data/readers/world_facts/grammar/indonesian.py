"""Indonesian: names of languages and scripts beside their noun."""

# CLDR gives these by their own names, Indonesian by the country's, and the Arabic script too narrowly.
_LANGUAGES = {"da": "Denmark", "fi": "Finlandia", "pl": "Polandia"}
_SCRIPTS = {"Arab": "Arab"}


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`phrase` of languages (bahasa Jerman) and scripts (aksara Latin); `mid` of currencies."""
    if type_ == "language":
        bare = citation.removeprefix("Bahasa ")
        return {"phrase": f"bahasa {_LANGUAGES.get(key, bare)}"}
    if type_ == "script":
        return {"phrase": f"aksara {_SCRIPTS.get(key, citation)}"}
    if type_ == "time_zone":
        return {"": citation.replace("Kep. ", "Kepulauan ")}
    if type_ == "currency":
        return {"mid": citation[0].lower() + citation[1:]}
    return {}
