"""Hindi: the one region whose CLDR name is not spoken."""


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """The citation form itself, respelled: अमेरिकाज़ transliterates an English plural."""
    return {"": "अमेरिकी महाद्वीप"} if (type_, key) == ("region", "019") else {}
