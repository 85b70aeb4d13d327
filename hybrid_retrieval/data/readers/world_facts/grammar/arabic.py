"""Arabic: names of languages and scripts beside their noun, currencies with the article."""

# Names of countries that look like adjectives: the currency is a genitive construction and takes no article.
_NO_ADJECTIVES = frozenset(
    {"مالاوي", "أوروغواي", "اوروغواي", "باراغواي", "بروناي", "تشيلي", "هايتي", "فيجي", "تونغي"}
)


def inflect(type_: str, key: str, citation: str) -> dict[str, str]:
    """`phrase` of languages (اللغة الألمانية, لغة الهوسا) and scripts, `the` of currencies, `in` of
    regions (the genitive after a preposition).
    """
    match type_:
        case "language":
            return {"phrase": _beside("لغة", citation)}
        case "script":
            return {"phrase": _beside("كتابة", citation)}
        case "currency":
            return {"the": _definite(citation)}
        case "region":
            return {"in": citation.replace("الأمريكتان", "الأمريكتين")}
    return {}


def _beside(noun: str, citation: str) -> str:
    """A definite adjective follows the definite noun; a name stands in the genitive after the bare noun."""
    if citation.startswith((noun, "ال" + noun)):
        return citation
    first = citation.split(" ", maxsplit=1)[0].replace("\u0651", "")
    if first.startswith("ال") and first.endswith("ية"):
        return f"ال{noun} {citation}"
    return f"{noun} {citation}"


def _definite(citation: str) -> str:
    """A noun alone or with an adjective takes the article on every word."""
    words = citation.split(" ")
    adjective = words[-1].endswith(("ي", "ية")) and words[-1] not in _NO_ADJECTIVES
    if adjective and len(words) == 2 and words[0].endswith("ة") and words[1].endswith("ي"):
        words[1] += "ة"
    if len(words) == 1 or (len(words) == 2 and adjective):
        return " ".join(word if word.startswith("ال") else f"ال{word}" for word in words)
    return citation
