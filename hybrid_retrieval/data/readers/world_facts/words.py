"""Lists of identifiers, written as one string."""


def words(text: str) -> tuple[str, ...]:
    """The words of a text, which are parted by spaces."""
    return tuple(text.split())
