"""What looks wrong in a corpus, in sentences: how much, where, examples, and what to do about it."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hybrid_retrieval.data.statistics.measure_corpus import KINDS

EXAMPLES = 3
_LANGUAGES = 4

Part = Mapping[str, Any]


def findings(statistics: Part) -> list[str]:
    """One text for each suspicious count that is not 0: a paragraph, then lines of examples.

    Args:
        statistics: as `measure_corpus` gives them.
    """
    found = [*_repeated_rows(statistics)]
    for each in (_repeated, _equal_in_two, _other_script, _blank):
        for kind in KINDS:
            found += each(statistics, kind)
    return found


def _repeated_rows(statistics: Part) -> Iterator[str]:
    total = statistics["total"]
    if count := total["repeated_rows"]["normalised"]["count"]:
        where, examples = _where(statistics, lambda part: part["repeated_rows"]["normalised"])
        exactly = _exactly(count, total["repeated_rows"]["exact"]["count"])
        yield (
            f"{count:,} of {total['distinct_rows']:,} rows repeat query and passage of another row{exactly}: "
            f"{where}. data.clean.exact_duplicates=true removes them.{examples}"
        )


def _repeated(statistics: Part, kind: str) -> Iterator[str]:
    advice = {
        "queries": "Where their passages differ, each counts as wrong for the other query in a batch.",
        "passages": "In a batch, one counts as wrong for the query of the other: give them one "
        "passage_id, or remove the rows that repeat with data.clean.near_duplicates=1.",
    }
    total = statistics["total"][kind]
    if count := total["repeated"]["normalised"]["count"]:
        where, examples = _where(statistics, lambda part: part[kind]["repeated"]["normalised"])
        exactly = _exactly(count, total["repeated"]["exact"]["count"])
        yield (
            f"{count:,} of {total['texts']:,} {kind} repeat another one under another id{exactly}: {where}. "
            f"{advice[kind]}{examples}"
        )


def _equal_in_two(statistics: Part, kind: str) -> Iterator[str]:
    advice = {
        "queries": "Names are often the same in both; what is not a name was not translated.",
        "passages": "They may be untranslated: data.clean.same_text=true keeps each in one language.",
    }
    equal = statistics["equal_in_two_languages"][kind]
    if not equal["count"]:
        return
    pairs = sorted(equal["pairs"].items(), key=lambda item: (-item[1]["count"], item[0]))
    most = ", ".join(f"{pair} {one['count']:,}" for pair, one in pairs[:_LANGUAGES])
    first, one = pairs[0]
    examples = "".join(f"\n{first}: {name}" for name in one["examples"][:EXAMPLES])
    yield (
        f"{equal['count']:,} of {statistics['total'][kind]['texts']:,} {kind} are the same text in another "
        f"language: {most}{_more(len(pairs), 'pair')}. {advice[kind]}{examples}"
    )


def _other_script(statistics: Part, kind: str) -> Iterator[str]:
    total = statistics["total"][kind]
    if count := total["other_script"]["count"]:
        where, examples = _where(statistics, lambda part: part[kind]["other_script"])
        sampled = "sampled " if total["sampled"] < total["texts"] else ""
        yield (
            f"{count:,} of {total['sampled']:,} {sampled}{kind} are in a script that their language is not "
            f"written in: {where}. They may be in another language.{examples}"
        )


def _blank(statistics: Part, kind: str) -> Iterator[str]:
    total = statistics["total"][kind]
    if count := total["blank"]["count"]:
        where, examples = _where(statistics, lambda part: part[kind]["blank"])
        switch = {"queries": "min_question_chars", "passages": "min_passage_chars"}[kind]
        yield (
            f"{count:,} of {total['texts']:,} {kind} have no letter and no digit: {where}. "
            f"data.clean.{switch}=3 removes short ones.{examples}"
        )


def _where(statistics: Part, finding: Callable[[Part], Part]) -> tuple[str, str]:
    """The languages with most of something, and lines of examples in the first of them."""
    found = {code: finding(part) for code, part in statistics["languages"].items()}
    codes = sorted((code for code in found if found[code]["count"]), key=lambda code: -found[code]["count"])
    most = ", ".join(f"{code} {found[code]['count']:,}" for code in codes[:_LANGUAGES])
    examples = found[codes[0]]["examples"][:EXAMPLES]
    lines = [one if isinstance(one, str) else " = ".join(one) for one in examples]
    return most + _more(len(codes), "language"), "".join(f"\n{codes[0]}: {line}" for line in lines)


def _more(count: int, noun: str) -> str:
    left = count - _LANGUAGES
    return f" and {left:,} more {noun}{'s' * (left > 1)}" if left > 0 else ""


def _exactly(count: int, exact: int) -> str:
    """How many of what is repeated are exactly equal."""
    if exact == count:
        return ""
    return f" ({exact:,} exactly, the others but for case, spaces and forms of characters)"
