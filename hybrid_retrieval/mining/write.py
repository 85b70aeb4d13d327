"""A corpus with mined negatives as a folder of JSON lines, which `data=jsonl` reads."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError

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
    negatives: Mapping[str, Sequence[str]],
    folder: Path,
    statistics: Mapping[str, Any],
    *,
    keep_existing: bool = False,
) -> None:
    """Write `LANG.jsonl` for each language and `mining.json`; the folder appears complete or not at all.

    The rows of all splits are written, each with its split, so that every negative is the passage of some row
    and validation stays what it was. The hard negatives of the other splits are kept. Memory holds the rows
    of one language.

    Args:
        corpus: the split that the negatives are of.
        languages: those to write; rows that are in none of them are left out.
        negatives: passage ids by row id, of every row of the split.
        folder: replaced if it is there.
        statistics: content of `mining.json`.
        keep_existing: put the hard negatives that a row has before the mined ones.

    Raises:
        UserError: as `check_target`.
    """
    check_target(folder)
    splits = [
        corpus if split == corpus.split else ParallelCorpus.open(corpus.folder, split) for split in SPLITS
    ]
    defined: set[str] | None = None
    if set(languages) != set(corpus.languages):
        defined = {row.passage_id for code in languages for part in splits for row in part.rows(code)}
    with atomic_folder(folder) as new:
        for language in languages:
            lines = list[str]()
            for row in _rows(splits, language):
                own = [n for n in row.negatives if defined is None or n in defined]
                if row.split == corpus.split:
                    own = [*(own if keep_existing else ()), *negatives[row.id]]
                lines.append(_line(row, own))
            if lines:
                (new / f"{language}.jsonl").write_text("".join(lines), encoding="utf-8")
        text = json.dumps(statistics, indent=1, ensure_ascii=False)
        (new / STATISTICS).write_text(text + "\n", encoding="utf-8")


def _rows(splits: Sequence[ParallelCorpus], language: str) -> Iterator[Row]:
    for part in splits:
        yield from part.rows(language)


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
