"""A few parallel rows of a corpus side by side, to look at."""

import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.data.statistics.sampled import evenly_spaced
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.security.terminal import plain

_INDENT = 2
_ELLIPSIS = "…"
_QUESTION_SHARE = 0.35
_NARROWEST = 12
_WORDS = 0.75  # of the columns are filled, at least, before a cut between words
_NO_WIDTH = ("Mn", "Me", "Cf")  # combining marks and invisible signs


def parallel_rows(corpus: Path, languages: Sequence[str] | None, count: int, width: int) -> Iterator[str]:
    """Rows that exist in the most languages, evenly spaced, as lines for a terminal.

    Where too few exist in the most, those in the next lower number of languages join them, and so on.

    Args:
        corpus: its folder.
        languages: those to show, or None for all; those that the corpus lacks are passed over.
        count: how many rows.
        width: columns of the terminal.

    Raises:
        UserError: the corpus has none of the languages.
    """
    splits = [ParallelCorpus.open(corpus, split) for split in SPLITS]
    codes = [code for code in splits[0].languages if languages is None or code in languages]
    if not codes:
        raise UserError(
            f"{splits[0].name} has no data in {', '.join(languages or ())}: choose data.languages from "
            f"{', '.join(splits[0].languages)}."
        )
    for part, triple in _chosen(splits, codes, count):
        yield from _row(part, triple, codes, width)


def fitted(text: str, width: int) -> str:
    """A text on one line of exactly `width` columns: cut between words where it can be, or padded.

    East Asian wide characters take two columns (Unicode TR 11), combining marks none.
    """
    text = plain(" ".join(text.split()))
    if columns(text) > width:
        cut, used = 0, 0
        for cut, character in enumerate(text):  # noqa: B007
            used += columns(character)
            if used > width - 1:
                break
        space = text.rfind(" ", 0, cut + 1)
        text = text[: space if space >= cut * _WORDS else cut].rstrip() + _ELLIPSIS
    return text + " " * (width - columns(text))


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    return sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if unicodedata.category(character) in _NO_WIDTH:
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def _chosen(
    splits: Sequence[ParallelCorpus], codes: Sequence[str], count: int
) -> Iterator[tuple[ParallelCorpus, int]]:
    """The triples shown, in the order of the splits."""
    places = [splits[0].languages.index(code) for code in codes]
    numbers = [part.availability.both()[:, places].sum(1) for part in splits]
    triples = np.bincount(
        np.concatenate(numbers), weights=np.concatenate([part.availability.counts() for part in splits])
    )
    enough = np.flatnonzero(np.cumsum(triples[::-1])[::-1] >= count)
    lowest = max(int(enough[-1]) if len(enough) else 0, 1)
    runs = [
        (part, int(part.availability.starts[run]), int(part.availability.starts[run + 1]))
        for part, number in zip(splits, numbers, strict=True)
        for run in np.flatnonzero(number >= lowest).tolist()
    ]
    ends = np.cumsum([stop - start for _, start, stop in runs])
    for place in evenly_spaced(int(ends[-1]) if runs else 0, count).tolist():
        run = int(np.searchsorted(ends, place, side="right"))
        part, _, stop = runs[run]
        yield part, stop - int(ends[run] - place)


def _row(corpus: ParallelCorpus, triple: int, codes: Sequence[str], width: int) -> Iterator[str]:
    where = np.array([triple])
    query, positive = int(corpus.queries(where)[0]), int(corpus.positives(where)[0])
    count = corpus.negative_counts(where)[0]
    negatives = corpus.passage_ids(corpus.negatives(where, int(count))[0].tolist())
    (row_id,), (passage_id,) = corpus.row_ids(where), corpus.passage_ids([positive])
    passage = "" if passage_id == row_id else f", passage {passage_id}"
    yield plain(f"{corpus.name}, {corpus.split}: {row_id}{passage}")
    run = corpus.availability.run_of(where)
    first = max(len(code) for code in codes) + _INDENT
    second = max(int((width - first - _INDENT) * _QUESTION_SHARE), _NARROWEST)
    third = max(width - first - second - _INDENT, _NARROWEST)
    for code in codes:
        column = corpus.languages.index(code)
        has_query = bool(corpus.availability.query[run, column][0])
        has_passage = bool(corpus.availability.passage[run, column][0])
        if not has_query and not has_passage:
            continue
        question = corpus.query_text(code, query) if has_query else ""
        answer = corpus.passage_text(code, positive) or "" if has_passage else ""
        yield f"{code:<{first}}{fitted(question, second)}{' ' * _INDENT}{fitted(answer, third)}".rstrip()
    if negatives:
        yield fitted(f"hard negatives: {', '.join(negatives)}", width).rstrip()
    yield ""
