"""A corpus with mined negatives as a folder of JSON lines, which `data=jsonl` reads."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.mining.candidates import all_splits, row_passages

STATISTICS = "mining.json"


def check_target(folder: Path) -> None:
    """See that writing to a folder destroys nothing but earlier negatives.

    Raises:
        UserError: the folder is a file, or holds something that `mine` did not write.
    """
    if folder.is_dir():
        if any(folder.iterdir()) and not (folder / STATISTICS).is_file():
            raise UserError(
                f"{folder} holds files that `hybrid-retrieval mine` did not write, and would be replaced. "
                "Choose another out=<folder>, or remove it."
            )
    elif folder.exists():
        raise UserError(f"{folder} is a file. Choose another out=<folder>.")


def write_corpus(
    corpus: ParallelCorpus,
    languages: Sequence[str],
    negatives: Mapping[tuple[str, str], Sequence[str]],
    folder: Path,
    statistics: Mapping[str, Any],
    *,
    keep_existing: bool = False,
) -> None:
    """Write `LANG.jsonl` for each language and `mining.json`; the folder appears complete or not at all.

    The rows of all splits are written, each with its split, so that every negative is the passage of some row
    and validation stays what it was. A question with several positives is a row with each, of one id. Triples
    that differ in hard negatives alone become one row with the hard negatives of all. A row needs both texts:
    where a source has a question without its passage in a language, or passages that are nobody's positive,
    these are left out. The hard negatives of the other splits are kept. Memory holds the rows of one
    language.

    Args:
        corpus: the split that the negatives are of.
        languages: those to write; rows that are in none of them are left out.
        negatives: passage ids by row id and passage id of the positive, of every row of the split.
        folder: replaced if it is there.
        statistics: content of `mining.json`.
        keep_existing: put the hard negatives that a row has before the mined ones.

    Raises:
        UserError: as `check_target`.
    """
    check_target(folder)
    splits = all_splits(corpus)
    defined = set(corpus.passage_ids(row_passages(corpus, languages).tolist()))
    with atomic_folder(folder) as new:
        for language in languages:
            lines = list[str]()
            for row in _rows(splits, language):
                own = [n for n in row.negatives if n in defined]
                if row.split == corpus.split:
                    own = [*(own if keep_existing else ()), *negatives[row.id, row.passage_id]]
                lines.append(_line(row, own))
            if lines:
                (new / f"{language}.jsonl").write_text("".join(lines), encoding="utf-8")
        text = json.dumps(statistics, indent=1, ensure_ascii=False)
        (new / STATISTICS).write_text(text + "\n", encoding="utf-8")


def _rows(splits: Sequence[ParallelCorpus], language: str) -> Iterator[Row]:
    """The rows that have both texts, those of one question and one positive put together."""
    for part in splits:
        merged: dict[tuple[str, str], Row] = {}
        for row in part.rows(language):
            if row.passage:
                before = merged.setdefault((row.id, row.passage_id), row)
                negatives = dict.fromkeys((*before.negatives, *row.negatives))
                merged[row.id, row.passage_id] = replace(row, negatives=tuple(negatives))
        yield from merged.values()


def _line(row: Row, negatives: Sequence[str]) -> str:
    record = {
        "id": row.id,
        "question": row.question,
        "passage": row.passage,
        "passage_id": row.passage_id,
        "negatives": list(negatives),
        "split": row.split,
    }
    return json.dumps(record, ensure_ascii=False) + "\n"
