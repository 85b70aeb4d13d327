"""The statistics table of the data set: `python -m hybrid_retrieval.data.readers.world_facts.statistics`."""

import argparse
import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from statistics import mean, median

from babel.core import get_global

from hybrid_retrieval.atomic_file import atomic_file
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.readers.world_facts.reader import WorldFactsReader

SPLITS = ("train", "validation", "test")
SAMPLES_OF = ("en", "de", "ru", "ar", "zh", "el")
SAMPLE_KINDS = ("territory_currency", "city_territory", "language_script")


def statistics() -> str:
    """The table in Markdown: sizes by language, by kind and by split, shared texts, and sample triples."""
    reader = WorldFactsReader()
    rows = {language: list(reader.rows(language)) for language in reader.languages()}
    parts = [
        "# world_facts in numbers",
        "",
        "Made by `python -m hybrid_retrieval.data.readers.world_facts.statistics` with Babel "
        f"{version('babel')} (CLDR {get_global('cldr')['version']}) and pycountry {version('pycountry')}. "
        f"Fingerprint of the rows: `{rows_digest(rows)}`.",
        "",
        "## By language",
        "",
        "Every triple (question, passage, hard negatives) is in every language. Lengths are in characters. "
        "Types are distinct words, split at what is not a letter, mark or digit; in Japanese, Chinese and "
        "Thai, which do not part words by spaces, distinct characters. Same question: the share of questions "
        "with the same text in another language.",
        "",
        *_by_language(rows),
        "",
        "## By kind of fact and split",
        "",
        "Triples (passages). An entity is in one split over all kinds.",
        "",
        *_by_kind(rows["en"]),
        "",
        "## Samples",
        "",
        *_samples(rows),
    ]
    return "\n".join(parts) + "\n"


def rows_digest(rows: Mapping[str, Sequence[Row]]) -> str:
    """SHA-256 of every field of the rows of each language."""
    digest = hashlib.sha256()
    for language, found in rows.items():
        digest.update(f"{language}\x1e".encode())
        for row in found:
            fields = (row.id, row.question, row.passage, row.passage_id, *row.negatives, row.split or "")
            digest.update(("\x1f".join(fields) + "\x1e").encode())
    return digest.hexdigest()


def _by_language(rows: dict[str, list[Row]]) -> list[str]:
    texts = {language: {row.question for row in found} for language, found in rows.items()}
    lines = _header(
        "language", "triples", "questions", "passages", "question mean", "question median", "passage mean",
        "passage median", "types", "tokens", "type-token ratio", "same question",
    )  # fmt: skip
    for language, found in rows.items():
        questions = [len(row.question) for row in found]
        passages = {row.passage_id: row.passage for row in found}
        lengths = [len(text) for text in passages.values()]
        tokens = [t for text in (*texts[language], *passages.values()) for t in _tokens(language, text)]
        others = set().union(*(texts[other] for other in texts if other != language))
        shared = sum(row.question in others for row in found) / len(found)
        cells = [len(found), len(texts[language]), len(passages)]
        sizes = [
            f"{figure:.1f}" for figures in (questions, lengths) for figure in (mean(figures), median(figures))
        ]
        types = [len(set(tokens)), len(tokens), f"{len(set(tokens)) / len(tokens):.3f}"]
        lines.append(_line(language, *cells, *sizes, *types, f"{shared:.1%}"))
    return lines


def _tokens(language: str, text: str) -> list[str]:
    words = re.findall(r"[^\W_](?:[^\W_]|[\u0300-\u036f\u064b-\u0652\u0900-\u097f])*", text.casefold())
    return list("".join(words)) if language in ("ja", "th", "zh") else words


def _by_kind(rows: Sequence[Row]) -> list[str]:
    triples = Counter((row.id.split(":")[0], str(row.split)) for row in rows)
    passages = {(row.passage_id.split(":")[0], str(row.split), row.passage_id) for row in rows}
    per_kind = Counter((kind, split) for kind, split, _ in passages)
    lines = _header("kind", *SPLITS, "all")
    kinds = sorted({kind for kind, _ in triples})

    def cell(chosen: Sequence[str], splits: Sequence[str]) -> str:
        pairs = [(kind, split) for kind in chosen for split in splits]
        return f"{sum(triples[p] for p in pairs)} ({sum(per_kind[p] for p in pairs)})"

    for chosen, label in [*(([kind], kind) for kind in kinds), (kinds, "all")]:
        lines.append(_line(label, *(cell(chosen, [split]) for split in SPLITS), cell(chosen, SPLITS)))
    return lines


def _samples(rows: dict[str, list[Row]]) -> list[str]:
    lines = []
    for kind in SAMPLE_KINDS:
        chosen = next(
            i for i, row in enumerate(rows["en"]) if row.id.startswith(f"{kind}:") and row.split == "test"
        )
        lines += [f"`{rows['en'][chosen].id}` (test)", ""]
        for language in SAMPLES_OF:
            row = rows[language][chosen]
            negative = next(other for other in rows[language] if other.passage_id == row.negatives[0])
            lines.append(
                f"- {language}: **{row.question}** {row.passage} *Hard negative: {negative.passage}*"
            )
        lines.append("")
    return lines[:-1]


def _header(*names: str) -> list[str]:
    return [_line(*names), "|" + "---|" * len(names)]


def _line(*cells: object) -> str:
    return "| " + " | ".join(str(cell) for cell in cells) + " |"


def main() -> None:
    """Write the table to the file named on the command line."""
    parser = argparse.ArgumentParser(description="Write the statistics of the data set world_facts.")
    parser.add_argument("output", nargs="?", type=Path, default=Path("experiments/world_facts/STATISTICS.md"))
    output: Path = parser.parse_args().output
    output.parent.mkdir(parents=True, exist_ok=True)
    with atomic_file(output) as partial:
        partial.write_text(statistics(), encoding="utf-8")


if __name__ == "__main__":
    main()
