"""The statistics of a corpus as text for a terminal."""

from collections.abc import Mapping
from io import StringIO
from textwrap import wrap
from typing import Any

from rich.console import Console

from hybrid_retrieval.data.cleaning.report import removals
from hybrid_retrieval.data.origin import origin_words
from hybrid_retrieval.data.statistics.findings import findings
from hybrid_retrieval.data.statistics.table import statistics_table

_NOTHING = "nothing repeated, equal in two languages, blank or in another script was found"


def statistics_text(statistics: Mapping[str, Any], width: int) -> str:
    """Name and licence, the table, what cleaning removed, and what looks wrong; a line break at the end.

    Args:
        statistics: as `measure_corpus` gives them.
        width: columns of the terminal. Lines with ids are not broken, so that an id can be copied.
    """
    text = StringIO()
    console = Console(file=text, width=width, highlight=False, markup=False)
    console.print(statistics["name"], soft_wrap=True)
    console.print(origin_words(statistics["source"]), soft_wrap=True)
    console.print(statistics_table(statistics))
    removed = removals(statistics["cleaning"], width - 4) if statistics.get("cleaning") else []
    for finding in [*removed, *(findings(statistics) or [_NOTHING])]:
        words, *examples = finding.split("\n")
        lines = wrap(words, width, initial_indent="- ", subsequent_indent="  ", break_on_hyphens=False)
        text.write("\n".join([*lines, *(f"    {example}" for example in examples)]) + "\n")
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
