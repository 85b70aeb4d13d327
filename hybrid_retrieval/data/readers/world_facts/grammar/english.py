"""English: which names take the definite article."""

from hybrid_retrieval.data.readers.world_facts.words import words

_THE = words("AE AX BQ BS CF CK DO FO GB KM KY MH MP MV NL PH PN SB SC TC US")
_REGIONS = frozenset({"019", "029", "057"})


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`the`: the name with its article where it has one, and "and" for the ampersand."""
    spelled = citation.replace(" & ", " and ")
    if key == "VC":
        spelled = "St. Vincent and the Grenadines"
    takes_article = (type_ == "territory" and key in _THE) or (type_ == "region" and key in _REGIONS)
    the = f"the {spelled}" if takes_article or type_ in ("currency",) else spelled
    return {"the": the}
