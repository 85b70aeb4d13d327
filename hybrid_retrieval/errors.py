"""The one exception that stands for a mistake of the user's."""


class UserError(Exception):
    """A mistake of the user's: shown as one message, without a traceback, with exit status 2.

    The message names the file and the line where there is one, says what is wrong and what to do.
    """
