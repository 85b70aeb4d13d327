"""What every mistake of a user's must look like."""

from tests.conftest import Command


def refused(command: Command, *arguments: str, says: str | list[str]) -> str:
    """Status 2 and one line on stderr, given back, that starts with `error:` and holds the given words."""
    outcome = command(*arguments)
    assert outcome.status == 2, outcome
    assert outcome.err.startswith("error: ")
    assert outcome.err.count("\n") == 1, outcome.err
    assert outcome.err.endswith("\n")
    for words in [says] if isinstance(says, str) else says:
        assert words in outcome.err
    return outcome.err
