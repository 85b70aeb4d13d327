"""Exceptions whose message is all there is to tell."""

from collections.abc import Iterator
from contextlib import contextmanager

LONGEST_MESSAGE = 2000


class UserError(Exception):
    """A mistake of the user's: shown as one message, without a traceback, with exit status 2.

    The message names the file and the line where there is one, says what is wrong and what to do. It may
    quote what a file holds: what a terminal would obey (control characters, changes of direction) and halves
    of surrogate pairs are written as escapes, and the middle of a message of more than `LONGEST_MESSAGE`
    characters is left out.
    """

    def __init__(self, message: str) -> None:
        super().__init__(_one_line(message))


class StorageError(UserError):
    """Something could not be written, as the disk is full, the folder read-only or the device broken."""


class RunFailedError(RuntimeError):
    """A run that came to an end its message explains: shown without a traceback, with exit status 1."""


@contextmanager
def naming(place: object) -> Iterator[None]:
    """Put a place before the message of a UserError of the block that does not name it, nor another place.

    Args:
        place: a folder or a file; None for none.
    """
    try:
        yield
    except StorageError:
        raise
    except UserError as error:
        if place is None or str(place) in str(error):
            raise
        raise UserError(f"{place}: {error}") from error


def _one_line(message: str) -> str:
    if len(message) > LONGEST_MESSAGE:
        half = LONGEST_MESSAGE // 2
        message = f"{message[:half]} [...] {message[-half:]}"
    if message.isprintable():
        return message
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in message)
