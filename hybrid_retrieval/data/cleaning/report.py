"""What cleaning removed: the counts and examples of all languages, and the same in words.

`cleaning` in a corpus' `corpus.json` is

    switches                    {switch: its value}, those that were on
    rows_before, rows_after     {language: n}
    removed                     {switch: {language: n}}
    examples                    {switch: [...]}: at most `rows.EXAMPLES`, as `examples` says; of as many
                                languages as there are
"""

from collections.abc import Iterator, Mapping
from itertools import chain, zip_longest
from typing import Any

from rich.text import Text

from hybrid_retrieval.data.cleaning.rows import EXAMPLES
from hybrid_retrieval.data.cleaning.settings import CleaningSettings

Report = Mapping[str, Any]
_BEFORE = 30  # characters shown before the first difference


def merged(reports: Mapping[str, Report], settings: CleaningSettings) -> dict[str, Any]:
    """The report of a corpus.

    Args:
        reports: of each language, as `LanguageRows.report` gives it, with `examples` by switch.
        settings: the switches.
    """
    return {
        "switches": {switch: getattr(settings, switch) for switch in settings.on},
        "rows_before": {code: report["before"] for code, report in reports.items()},
        "rows_after": {code: report["after"] for code, report in reports.items()},
        "removed": {
            switch: {code: report["removed"][switch] for code, report in reports.items()}
            for switch in settings.on
        },
        "examples": {
            switch: _in_turn([report["examples"][switch] for report in reports.values()])
            for switch in settings.on
        },
    }


def said(switch: str, report: Report) -> str:
    """How many rows a switch removed, in one line.

    Args:
        switch: one that was on.
        report: of `merged`.
    """
    counts = report["removed"][switch]
    if not any(counts.values()):
        return f"{switch} removed nothing"
    by_language = ", ".join(f"{count:,} {code}" for code, count in counts.items() if count)
    before = sum(report["rows_before"].values())
    return f"{switch} removed {sum(counts.values()):,} of {before:,} rows ({by_language})"


def removals(report: Report, width: int) -> list[str]:
    """What each switch removed: a sentence, then lines of examples with their texts.

    Args:
        report: of `merged`.
        width: columns after which a line of text is cut.
    """
    return [
        "\n".join([f"data.clean.{said(switch, report)}.", *_lines(switch, report, width)])
        for switch in report["removed"]
    ]


def _lines(switch: str, report: Report, width: int) -> Iterator[str]:
    for example in report.get("examples", {}).get(switch, []):  # a corpus of an earlier version has none
        why, texts = _reason(switch, example)
        yield f"{example['language']} {example['query_id']}: {why}"
        for text in texts:
            if text is not None:
                line = Text("  " + " ".join(text.split()))
                line.truncate(width, overflow="ellipsis")
                yield line.plain


def _reason(switch: str, example: Report) -> tuple[str, list[str | None]]:
    """Why a row was removed, and the texts that show it."""
    question, passage = example["question"], example["passage"]
    if switch == "exact_duplicates":
        of = example["of"]
        return f"repeats {of['query_id']} with passage {of['passage_id']}", [question, passage]
    if switch == "near_duplicates":
        of, names = example["of"], f"passage {example['passage_id']} is like {example['of']['passage_id']}"
        return f"{names}, similarity {example['similarity']:.2f}", _near_difference(passage, of["passage"])
    if switch == "same_text":
        kept = ", ".join(example["kept_in"]) or "none of them"
        also = f"passage {example['passage_id']} is the same in {', '.join(example['equal_in'])}"
        return f"{also}; kept in {kept}", [passage]
    if switch == "decontaminate":
        if "found" not in example:
            return "shares text with a benchmark", [question, passage]
        grams = "1 n-gram," if example["shared"] == 1 else f"{example['shared']} n-grams, such as"
        where = f"{example['found']} shares {grams} '{example['gram']}',"
        of = f"with {example['benchmark_id']} of {example['benchmark']}"
        return f"{where} {of}", [example[example["found"]], example["benchmark_text"]]
    return f"{example['characters']:,} characters", [question if "question" in switch else passage]


def _near_difference(one: str, other: str) -> list[str | None]:
    """Two texts, without most of what they both begin with where that is long."""
    pairs = enumerate(zip(one, other, strict=False))
    start = next((i for i, (a, b) in pairs if a != b), min(len(one), len(other))) - _BEFORE
    return [f"…{text[start:]}" if start > _BEFORE else text for text in (one, other)]


def _in_turn(of_languages: list[list[Report]]) -> list[Report]:
    """The first example of each language, then the second of each, until there are enough."""
    found = chain.from_iterable(zip_longest(*of_languages))
    return [example for example in found if example is not None][:EXAMPLES]
