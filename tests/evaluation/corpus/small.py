"""Small corpora in memory, and an embedder that the ids decide."""

import hashlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from hybrid_retrieval.evaluation.corpus.benchmark import Collection, CorpusBenchmark, CorpusQuery, Passage
from hybrid_retrieval.models.text_tokenizer import TextKind

DIMENSION = 16


class TextEmbedder:
    """Embeddings that follow from the texts alone; counts the passages it embeds."""

    name = "texts"

    def __init__(self) -> None:
        self.passages = 0

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: TextKind, *, title: str | None = None
    ) -> np.ndarray:
        assert len(set(ids)) == len(ids) == len(texts)
        self.passages += len(texts) * (kind == "passage")
        seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:4]) for text in texts]
        rows = [np.random.default_rng(seed).standard_normal(DIMENSION) for seed in seeds]
        return np.array(rows, dtype=np.float32).reshape(len(texts), DIMENSION)


def collection(
    name: str,
    texts: Mapping[str, str],
    queries: Sequence[CorpusQuery],
    languages: Sequence[str] | None = None,
) -> Collection:
    """A collection of passages by id; their languages, in order, or the collection's name."""

    def passages() -> Iterator[Passage]:
        for number, (passage_id, text) in enumerate(texts.items()):
            language = languages[number % len(languages)] if languages else name
            yield Passage(passage_id, text, language, f"{name}.jsonl:{number + 1}")

    return Collection(name, passages, tuple(queries))


def random_benchmark(seed: int = 0) -> CorpusBenchmark:
    """Two languages with 300 passages each, and queries with 1 to 6 relevant ones of grades 1 to 3."""
    generator = np.random.default_rng(seed)
    collections = []
    for code, queries in (("ar", 40), ("en", 25)):
        texts = {f"{n}#{n % 3}": f"{code} passage {n}" for n in range(300)}
        ids = list(texts)
        collections.append(
            collection(
                code,
                texts,
                [
                    CorpusQuery(
                        str(q),
                        f"{code} query {q}",
                        code,
                        {
                            ids[i]: int(generator.integers(1, 4))
                            for i in generator.choice(300, size=generator.integers(1, 7), replace=False)
                        },
                    )
                    for q in range(queries)
                ],
            )
        )
    return CorpusBenchmark("random", tuple(collections), ("ndcg@10", "recall@100"), "monolingual")
