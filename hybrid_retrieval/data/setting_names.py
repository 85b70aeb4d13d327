"""What the settings of `data=` are called where data is configured elsewhere on the command line."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from hybrid_retrieval.errors import UserError

_NAMES = (
    "path|sets|options|languages|join|leave_out|validation_fraction|hard_negatives|clean|licence"
    "|max_query_length|max_passage_length"
)
_SETTING = re.compile(rf"(?<![\w./@-])data(?:(=)|(\.options\.(?=[\w.]+=))|(\.)(?={_NAMES}))")


@contextmanager
def settings_called(group: str, *, reader: str, options: str | None = None) -> Iterator[None]:
    """Let the messages of a block name its settings as they are given: readers say `data=` and `data.path`.

    Args:
        group: what stands for `data`, for example `benchmark`: messages then say `benchmark.path`.
        reader: what stands for `data` in `data=jsonl`.
        options: what stands for `data.options` where an option is set, if it is not that of the group.

    Raises:
        UserError: as the block raises it, the settings renamed.
    """

    def name(found: re.Match[str]) -> str:
        if found[1]:
            return f"{reader}="
        return f"{options or f'{group}.options'}." if found[2] else f"{group}."

    try:
        yield
    except UserError as error:
        raise type(error)(_SETTING.sub(name, str(error))) from error
