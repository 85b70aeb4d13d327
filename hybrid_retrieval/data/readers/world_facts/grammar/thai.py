"""Thai: names of languages and scripts with their classifying noun."""


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`phrase` of languages (ภาษาเยอรมัน) and scripts (อักษรละติน)."""
    if type_ == "language":
        return {"phrase": citation if citation.startswith("ภาษา") else f"ภาษา{citation}"}
    if type_ == "script":
        return {"phrase": citation if citation.startswith("อักษร") else f"อักษร{citation}"}
    return {}
