"""Japanese: currency names without the spaces that CLDR sets between their parts."""


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """The citation form itself, respelled."""
    return {"": citation.replace(" ", "")} if type_ == "currency" else {}
