"""A folder of JSON lines in two languages, as a user has it, and the command line that trains on it."""

import json
from collections.abc import Sequence
from pathlib import Path

LANGUAGES = ("de", "en")
ROWS = 60


def write_own_data(folder: Path, languages: Sequence[str] = LANGUAGES, rows: int = ROWS) -> Path:
    folder.mkdir(parents=True)
    for language in languages:
        lines = [
            {
                "id": str(i),
                "question": f"{language}: Where is number {i}?",
                "passage": f"{language}: Number {i} is on shelf {i % 7}, in room {i * i} of the building.",
            }
            for i in range(rows)
        ]
        text = "".join(json.dumps(line) + "\n" for line in lines)
        (folder / f"{language}.jsonl").write_text(text, encoding="utf-8")
    return folder


def own_data_overrides(folder: Path) -> list[str]:
    """Four quick steps of the tiny backbone on a folder of `write_own_data`."""
    return [
        "debug=fast",
        "data=jsonl",
        f"data.path={folder}",
        "data.validation_fraction=0.2",
        "benchmark=parallel",
        f"benchmark.path={folder}",
        "benchmark.validation_fraction=0.2",
        "benchmark.limit=null",
        "trainer.accelerator=cpu",
        "trainer.enable_progress_bar=false",
    ]
