"""Small benchmarks and embeddings whose inner products are exact in float32, so that ties are ties."""

import numpy as np

from hybrid_retrieval.evaluation.benchmark import Benchmark

LANGUAGES = ("ar", "de", "en", "zh")


def random_benchmark(
    seed: int, *, languages: int = 3, groups: int = 6, extra: int = 9, complete: bool = False
) -> Benchmark:
    """Groups of parallel queries; each has 1 or 2 relevant candidates in some or (complete) all languages."""
    generator = np.random.default_rng(seed)
    queries: list[tuple[int, int]] = []
    candidates: list[tuple[int, str]] = []
    answers: dict[int, list[int]] = {}
    for group in range(groups):
        has = [x for x in range(languages) if complete or generator.random() < 0.7] or [
            int(generator.integers(languages))
        ]
        for language in has:
            queries.append((language, group))
            for nth in range(1 if complete else int(generator.integers(1, 3))):
                answers.setdefault(group, []).append(len(candidates))
                candidates.append((language, f"{group}-{nth}"))
    candidates += [(int(generator.integers(languages)), f"extra-{i}") for i in range(extra)]
    relevant = [answers[group] for _, group in queries]
    return Benchmark(
        name="synthetic",
        languages=LANGUAGES[:languages],
        query_ids=[f"{LANGUAGES[x]}:{group}" for x, group in queries],
        query_texts=[f"query {group} in {LANGUAGES[x]}" for x, group in queries],
        query_group=[str(group) for _, group in queries],
        query_language=np.array([x for x, _ in queries], dtype=np.int16),
        candidate_ids=[f"{LANGUAGES[x]}:{name}" for x, name in candidates],
        candidate_texts=[f"candidate {name} in {LANGUAGES[x]}" for x, name in candidates],
        candidate_language=np.array([x for x, _ in candidates], dtype=np.int16),
        relevant_offsets=np.cumsum([0, *map(len, relevant)]),
        relevant=np.concatenate(relevant),
    )


def exact_embeddings(seed: int, rows: int, dimension: int = 4, levels: int = 2) -> np.ndarray:
    """float32 (rows, dimension) of small whole numbers: inner products are exact, and many are equal."""
    generator = np.random.default_rng(seed)
    return generator.integers(-levels, levels + 1, size=(rows, dimension)).astype(np.float32)
