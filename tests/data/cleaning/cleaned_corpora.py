"""Small corpora, cleaned, for tests."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hybrid_retrieval.data.build import build_corpus
from hybrid_retrieval.data.cleaning.decontaminate import Match
from hybrid_retrieval.data.cleaning.settings import Cleaning, CleaningSettings
from hybrid_retrieval.data.parallel import SPLITS, ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from tests.data.memory_reader import MemoryReader, RowsByLanguage

Kept = set[tuple[str, str, str]]  # split, language, id


def cleaned(rows: RowsByLanguage, folder: Path, cleaning: Cleaning, **options: Any) -> Kept:
    build_corpus(MemoryReader(rows), folder, cleaning=cleaning, **options)
    return found(folder)


def found(folder: Path) -> Kept:
    corpora = [ParallelCorpus.open(folder, split) for split in SPLITS]
    return {
        (c.split, language, row.id) for c in corpora for language in c.languages for row in c.rows(language)
    }


def report(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "corpus.json").read_text())
    assert {
        code: before - sum(removed[code] for removed in content["cleaning"]["removed"].values())
        for code, before in content["cleaning"]["rows_before"].items()
    } == content["cleaning"]["rows_after"]
    assert content["cleaning"]["rows_after"] == content["counts"]["rows"]
    return content["cleaning"]["removed"]  # type: ignore[no-any-return]


def switches(**values: Any) -> Cleaning:
    return Cleaning(CleaningSettings.from_config(values))


WORDS = [
    "the",
    "cell",
    "divides",
    "when",
    "its",
    "wall",
    "has",
    "grown",
    "and",
    "then",
    "two",
    "of",
    "them",
    "stand",
    "side",
    "by",
    "side",
    "again",
]
PASSAGES = [
    " ".join(WORDS),
    " ".join(WORDS[:-1]),
    " ".join(WORDS[:9] + WORDS[11:]),
    " ".join(reversed(WORDS)),
    "a short one",
    "A  SHORT\tone",
]

ROWS: RowsByLanguage = {
    code: [Row(f"r{n}", f"{code} {n % 3}", f"{code} {PASSAGES[n % 4]}", f"p{n}") for n in range(8)]
    for code in ("de", "en", "zh")
}
ALL = {"exact_duplicates": True, "near_duplicates": 0.8, "same_text": True, "min_question_chars": 3}


@dataclass
class Leaks:
    """Finds the word "leaked"."""

    fingerprint: str = "leaks"

    def contaminated(self, texts: Iterable[str | None], language: str) -> npt.NDArray[np.bool_]:
        return np.array([text is not None and "leaked" in text for text in texts])

    def explain(self, text: str, language: str) -> list[Match]:
        return [Match("some", f"{language}:7", "leaked", 1, "It leaked.")] if "leaked" in text else []
