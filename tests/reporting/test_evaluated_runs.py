"""The comparison of what the evaluation itself writes, rather than of files made for the tests."""

import json
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.reporting.comparison import compare_runs
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.reporting.statistics import Column, summary
from hybrid_retrieval.reporting.tables import markdown

QUESTIONS = 40
RUN = {"backbone": "tiny", "data": ["world_facts"], "languages": ["de"], "steps": 3, "global_batch_size": 8}


def benchmark(languages: tuple[str, ...]) -> Benchmark:
    """Question q of every language is answered by passage q of every language."""
    pairs = [(x, q) for x in range(len(languages)) for q in range(QUESTIONS)]
    language = np.array([x for x, _ in pairs], dtype=np.int16)
    ids = [f"{languages[x]}:{q}" for x, q in pairs]
    relevant = np.array([x * QUESTIONS + q for _, q in pairs for x in range(len(languages))])
    offsets = np.arange(len(pairs) + 1) * len(languages)
    groups = [str(q) for _, q in pairs]
    return Benchmark("toy", languages, ids, ids, groups, language, ids, ids, language, offsets, relevant)


def evaluate_into(folder: Path, strategy: str, seed: int, noise: float, languages: tuple[str, ...]) -> None:
    generator = np.random.default_rng([seed, len(strategy)])
    meaning = np.tile(np.random.default_rng(5).normal(size=(QUESTIONS, 12)), (len(languages), 1))
    queries, candidates = (meaning + noise * generator.normal(size=meaning.shape) for _ in range(2))
    run = None if strategy == "untrained" else {"strategy": strategy, "alpha": None, "seed": seed, **RUN}
    unit = [(x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32) for x in (queries, candidates)]
    evaluate_embeddings(unit[0], unit[1], benchmark(languages), model="tiny", run=run).write(folder)


def test_a_better_model_wins_significantly(tmp_path: Path) -> None:
    evaluate_into(tmp_path / "untrained", "untrained", 0, 2.0, ("de", "el", "en"))
    for seed in (1, 2):
        evaluate_into(tmp_path / f"mono-{seed}", "x_x_mono", seed, 1.0, ("de", "el", "en"))
        evaluate_into(tmp_path / f"cross-{seed}", "x_y", seed, 0.4, ("de", "el", "en"))

    comparison = compare_runs([tmp_path])

    assert [e.label for e in comparison.experiments] == ["untrained", "x_x_mono", "x_y"]
    found = summary(comparison.experiments[2], Column("multilingual", "map"))
    files = [tmp_path / f"cross-{seed}" / "metrics.json" for seed in (1, 2)]
    assert found is not None
    assert found.mean == pytest.approx(
        np.mean([json.loads(f.read_text())["multilingual"]["map"] for f in files])
    )
    assert all(d.significant and d.better for d in comparison.differences if d.experiment == "x_y")
    assert all(d.significant and not d.better for d in comparison.differences if d.experiment == "untrained")
    assert "never trained on" in report(comparison)


def test_one_language_has_neither_cross_lingual_nor_rank_distance(tmp_path: Path) -> None:
    evaluate_into(tmp_path / "mono", "x_x_mono", 1, 1.0, ("en",))
    evaluate_into(tmp_path / "english", "en_en", 1, 0.5, ("en",))

    comparison = compare_runs([tmp_path])

    assert {d.measure for d in comparison.differences} == {"monolingual", "multilingual"}
    assert "n/a" in markdown(comparison)
    assert "across two languages" not in markdown(comparison)
    assert "nan" not in report(comparison)
