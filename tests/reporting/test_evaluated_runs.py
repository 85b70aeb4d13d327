"""The comparison of what the evaluation itself writes, rather than of files made for the tests."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.bitext import Bitext, SentencePairs, evaluate_bitext
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.models.text_tokenizer import TextKind
from hybrid_retrieval.reporting.columns import Column
from hybrid_retrieval.reporting.html import report
from hybrid_retrieval.reporting.markdown import markdown
from hybrid_retrieval.reporting.statistics import summary

from .fake_runs import compare_one

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

    comparison = compare_one(tmp_path)

    assert [e.label for e in comparison.experiments] == ["untrained", "x_x_mono", "x_y"]
    found = summary(comparison.experiments[2], Column("multilingual", "map"))
    files = [tmp_path / f"cross-{seed}" / "metrics.json" for seed in (1, 2)]
    assert found is not None
    assert found.mean == pytest.approx(
        np.mean([json.loads(f.read_text())["multilingual"]["map"] for f in files])
    )
    assert all(d.significant and d.better for d in comparison.differences if d.experiment == "x_y")
    assert all(d.significant and not d.better for d in comparison.differences if d.experiment == "untrained")
    assert "never trained on" in report([comparison])


def test_one_language_has_neither_cross_lingual_nor_rank_distance(tmp_path: Path) -> None:
    evaluate_into(tmp_path / "mono", "x_x_mono", 1, 1.0, ("en",))
    evaluate_into(tmp_path / "english", "en_en", 1, 0.5, ("en",))

    comparison = compare_one(tmp_path)

    assert {d.column.setting for d in comparison.differences} == {"monolingual"}
    assert "n/a" not in markdown([comparison])
    assert "Mul" not in markdown([comparison])
    assert "across two languages" not in markdown([comparison])
    assert "nan" not in report([comparison])


class Drawn:
    """An embedder of sentences named by their meaning, with noise of its own."""

    name = "drawn"

    def __init__(self, seed: int, noise: float) -> None:
        self.generator, self.noise = np.random.default_rng(seed), noise

    def embed(
        self, ids: Sequence[str], texts: Sequence[str], kind: TextKind, *, title: str | None = None
    ) -> np.ndarray:
        meaning = np.stack([np.random.default_rng(int(text)).normal(size=8) for text in texts])
        return np.asarray(meaning + self.noise * self.generator.normal(size=meaning.shape), dtype=np.float32)

    def alone(self) -> tuple["Drawn", str]:
        return self, self.name


def test_bitext_is_tested_as_it_is_averaged(tmp_path: Path) -> None:
    """Over directed pairs of languages, of which English is in every one; the pairs differ in size."""
    pairs = [
        SentencePairs((code, "en"), ([str(k) for k in range(size)], [str(k) for k in range(size)]))
        for code, size in (("de", 40), ("sw", 90))
    ]
    for strategy, noise in (("x_x_mono", 0.9), ("x_y", 0.5)):
        embedder = Drawn(len(strategy), noise)
        run = {"strategy": strategy, "alpha": None, "seed": 1, **RUN}
        evaluate_bitext(embedder, Bitext("tatoeba", tuple(pairs)), run=run, progress=False).write(
            tmp_path / strategy
        )

    comparison = compare_one(tmp_path)

    assert [column.title for column in comparison.table] == ["Accuracy Cr", "F1 Cr"]
    (d,) = comparison.differences
    means = [summary(e, d.column) for e in comparison.experiments]
    assert means[0] is not None
    assert means[1] is not None
    assert d.difference == pytest.approx(means[1].mean - means[0].mean, abs=1e-12)
    assert d.units == 40 + 90
    assert d.significant
    assert "cross-lingual Accuracy" in markdown([comparison])
    assert "nan" not in report([comparison])
