"""Vietnamese: common nouns inside a name are lower case within a sentence."""

_COMMON = ("Tiếng ", "Chữ ", "Quần đảo ", "Đảo ", "Miền ", "Vùng ", "Châu ")


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`mid`: the name as it stands within a sentence; of a currency, as it stands after the word đồng."""
    match type_:
        case "currency":
            bare = citation.removeprefix("Đồng ")
            return {"mid": bare if bare != citation else _lower(citation)}
        case "time_zone":
            return {"mid": _lower(citation.replace("Giờ Chuẩn", "Giờ chuẩn"))}
        case "weekday":
            return {"mid": _lower(citation)}
        case _:
            return {"mid": _lower(citation) if citation.startswith(_COMMON) else citation}


def _lower(citation: str) -> str:
    return citation[0].lower() + citation[1:]
