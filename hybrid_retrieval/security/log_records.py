"""Log records as they may be shown and kept: without secrets, without control characters."""

import logging
import os
import traceback

from hybrid_retrieval.security.secrets import without_secrets
from hybrid_retrieval.security.terminal import plain


class SafeRecords(logging.Filter):
    """Hides the secrets in the records of a handler and writes out their control characters."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Clean a record, with its traceback; all pass."""
        record.msg, record.args = safe(record.getMessage()), None
        if record.exc_info and record.exc_info[1] is not None:
            record.exc_text = safe("".join(traceback.format_exception(record.exc_info[1])).rstrip("\n"))
        elif record.exc_text:
            record.exc_text = safe(record.exc_text)
        return True


def safe(text: str) -> str:
    """A text as it may be shown and kept."""
    return plain(without_secrets(text, os.environ))


def protect_handlers() -> None:
    """Clean what the handlers of the root logger get, those that are there now; again does no harm."""
    for handler in logging.getLogger().handlers:
        if not any(isinstance(each, SafeRecords) for each in handler.filters):
            handler.addFilter(SafeRecords())
