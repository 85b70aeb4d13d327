"""A small mMARCO, and the triples of a corpus by the ids of its source."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.mmarco import TRIPLES, MMarcoSource, text_files

Lines = list[tuple[int, ...]]


@dataclass
class Small:
    """A small mMARCO: what is in its files."""

    folder: Path
    queries: dict[str, dict[int, str]]
    passages: dict[str, dict[int, str]]
    triples: Lines

    def source(self, **options: object) -> MMarcoSource:
        return MMarcoSource(str(self.folder), **options)  # type: ignore[arg-type]


def write_small(folder: Path, seed: int = 0, *, holes: bool = True, lines: int = 300) -> Small:
    """Sparse query ids in no order, passages in the order of their ids but in one language, and holes."""
    generator = np.random.default_rng(seed)
    query_ids = (generator.permutation(90)[:40] * 7 + 3).tolist()
    small = Small(folder, {}, {}, [])
    for language in ("de", "en", "hi"):
        missing = set(generator.integers(60, size=6).tolist()) if holes and language != "en" else set[int]()
        lacks = set(query_ids[:5]) if holes and language == "hi" else set[int]()
        passages = [p for p in range(60) if p not in missing]
        if language == "hi":
            generator.shuffle(passages)
        small.passages[language] = {p: f'{language} "passage" {p} – ß\u2028é' for p in passages}
        small.queries[language] = {q: f"{language}, query {q}?" for q in query_ids if q not in lacks}
        for kind, texts in (("queries", small.queries), ("passages", small.passages)):
            write_lines(folder / text_files(language)[kind], [*texts[language].items()])
    positive = {q: generator.integers(60, size=1 + q % 2).tolist() for q in query_ids}
    for _ in range(lines):
        query = int(generator.choice(query_ids))
        one = int(generator.choice(positive[query]))
        other = int(generator.choice([p for p in range(60) if p != one]))
        small.triples.append((query, one, other))
    write_lines(folder / TRIPLES, small.triples)
    return small


def write_lines(path: Path, lines: Sequence[Sequence[object]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join("\t".join(map(str, line)) + "\n" for line in lines), encoding="utf-8")


def found_triples(corpus: ParallelCorpus) -> Lines:
    everything = np.arange(len(corpus))
    offsets = np.load(corpus.folder / "splits" / corpus.split / "negative_offsets.npy")
    most = int(np.diff(offsets).max(initial=0))
    queries, positives = corpus.row_ids(everything), corpus.positives(everything).tolist()
    return [
        tuple(map(int, [query, *corpus.passage_ids([positive, *(n for n in negatives if n >= 0)])]))
        for query, positive, negatives in zip(
            queries, positives, corpus.negatives(everything, most).tolist(), strict=True
        )
    ]
