"""A parallel data set of mixed lengths from the embedded facts, in the `jsonl` layout."""

import json
from pathlib import Path

import numpy as np

from hybrid_retrieval.data.readers.world_facts.reader import WorldFactsReader

LANGUAGES = ("ar", "de", "en", "hi", "ja", "ru", "th", "zh")
LONGEST = 12


def write_mixed_lengths(folder: Path, rows: int, seed: int = 0) -> Path:
    """Write LANG.jsonl in eight languages: questions with passages of one to twelve facts each.

    The answering fact comes first, then others, exponentially distributed in number; the same ones in every
    language, so that rows of equal id are translations of each other.

    Args:
        folder: made when it is not there.
        rows: triples.
        seed: of the choice of facts.

    Returns:
        The folder.
    """
    generator = np.random.default_rng(seed)
    reader = WorldFactsReader(LANGUAGES)
    facts = {
        language: [row for row in reader.rows(language) if row.split == "train"] for language in LANGUAGES
    }
    count = len(facts[LANGUAGES[0]])
    chosen = [
        (int(generator.integers(count)), *generator.integers(count, size=others).tolist())
        for others in np.minimum(LONGEST - 1, generator.exponential(1.5, size=rows).astype(int))
    ]
    folder.mkdir(parents=True, exist_ok=True)
    for language, of_language in facts.items():
        lines = [
            {
                "id": str(number),
                "question": of_language[parts[0]].question,
                "passage": " ".join(of_language[part].passage for part in parts),
            }
            for number, parts in enumerate(chosen)
        ]
        text = "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)
        (folder / f"{language}.jsonl").write_text(text, encoding="utf-8")
    return folder
