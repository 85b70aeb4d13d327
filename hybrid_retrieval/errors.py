"""Exceptions whose message is all there is to tell."""


class UserError(Exception):
    """A mistake of the user's: shown as one message, without a traceback, with exit status 2.

    The message names the file and the line where there is one, says what is wrong and what to do.
    """


class RunFailedError(RuntimeError):
    """A run that came to an end its message explains: shown without a traceback, with exit status 1."""
