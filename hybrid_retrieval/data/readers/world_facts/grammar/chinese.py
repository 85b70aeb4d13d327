"""Chinese: names of scripts as nouns of their own."""


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`phrase` of scripts: 拉丁文 is Latin the language or the script, 拉丁文字 the script.

    Of units the citation form without the counter 个.
    """
    if type_ == "unit":
        return {"": citation.removeprefix("个")}
    if type_ == "script":
        return {"phrase": f"{citation}字" if citation.endswith("文") and len(citation) > 2 else citation}
    return {}
