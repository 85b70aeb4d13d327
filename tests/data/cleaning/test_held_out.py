"""Cleaning training data and evaluating on its held-out rows."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.data.open import open_data
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation import dispatch
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.registry import load_benchmark
from tests.data.cleaning.test_decontaminate import write_beir

LEAKED = "Where did the river leave its old bed?"
CLEAN = {"exact_duplicates": True, "min_question_chars": 12, "decontaminate": ["beir"]}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """60 questions, some short, some with the words of a benchmark, each passage under two ids."""
    folder = tmp_path / "own"
    folder.mkdir()
    for code in ("de", "en"):
        rows = [
            {
                "id": n,
                "question": LEAKED if (n, code) == (7, "en") else f"{code} question {n % 30}",
                "passage": f"{code} passage {n % 30}",
                "passage_id": f"p{n}",
            }
            for n in range(60)
        ]
        (folder / f"{code}.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


@pytest.fixture
def paths(tmp_path: Path) -> DictConfig:
    """With the benchmark `beir` outside the cache."""
    write_beir(tmp_path / "benchmarks" / "beir", [("en", LEAKED)])
    return OmegaConf.create({"cache": str(tmp_path / "cache"), "benchmarks": str(tmp_path / "benchmarks")})


def config(source: Path, **settings: Any) -> DictConfig:
    common = {"name": "parallel", "reader": "jsonl", "path": str(source), "split": "validation"}
    more: dict[str, Any] = {"languages": None, "validation_fraction": 0.3, "limit": None, "options": {}}
    return OmegaConf.create({**common, **more, **settings})


def ids(corpora: list[ParallelCorpus]) -> set[tuple[str, str]]:
    return {(code, row.id) for one in corpora for code in one.languages for row in one.rows(code)}


def opened(cfg: DictConfig, split: str, paths: DictConfig) -> set[tuple[str, str]]:
    return ids(open_data(cfg, paths.cache, split, benchmarks=paths.benchmarks))


def test_no_held_out_row_is_trained_on_whether_cleaned_or_not(source: Path, paths: DictConfig) -> None:
    """Splits are drawn before rows are removed, so that the benchmark needs no `clean` of its own."""
    plain, clean = config(source), config(source, clean=CLEAN)
    trained, held_out = opened(clean, "train", paths), opened(plain, "validation", paths)
    assert trained < opened(plain, "train", paths)
    assert opened(clean, "validation", paths) <= held_out
    assert held_out
    assert not {number for _, number in trained} & {number for _, number in held_out}
    benchmark = load_benchmark(plain, paths)
    assert isinstance(benchmark, Benchmark)
    assert len(benchmark.query_ids) == len(held_out)


def test_a_prepared_corpus_ranks_what_cleaning_left(source: Path, paths: DictConfig) -> None:
    clean = config(source, clean=CLEAN)
    [corpus] = open_data(clean, paths.cache, "validation", benchmarks=paths.benchmarks)
    prepared = config(corpus.folder, reader="prepared", validation_fraction=0.0)
    benchmark, own = load_benchmark(prepared, paths), load_benchmark(clean, paths)
    assert isinstance(benchmark, Benchmark)
    assert isinstance(own, Benchmark)
    assert len(benchmark.query_ids) == len(ids([corpus]))
    assert benchmark.query_ids == own.query_ids


def test_benchmarks_are_found_where_they_were_prepared(
    source: Path, paths: DictConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    cfg = config(source, clean=CLEAN, split="train", validation_fraction=0.0)
    benchmark = load_benchmark(cfg, paths)
    assert isinstance(benchmark, Benchmark)
    assert LEAKED not in benchmark.query_texts
    nowhere = OmegaConf.merge(paths, {"benchmarks": None})
    with pytest.raises(UserError, match=r"benchmark\.clean\.decontaminate: 'beir'"):
        load_benchmark(cfg, nowhere)  # type: ignore[arg-type]

    seen: list[set[tuple[str, str]]] = []

    def estimate(corpora: list[ParallelCorpus], *_: Any, **__: Any) -> None:
        seen.append(ids(corpora))
        raise InterruptedError

    monkeypatch.setattr(dispatch, "embed", lambda *_: (None, None, 0.0))
    monkeypatch.setattr(dispatch, "estimate_language_shift", estimate)
    shift = {"data": cfg, "split": "train", "pivot": "en", "pairs": 9, "seed": 0, "renormalise": True}
    job: Any = SimpleNamespace(
        embedder=None, cfg=OmegaConf.create({"language_shift": shift, "paths": paths}), benchmark=benchmark
    )
    with pytest.raises(InterruptedError):
        dispatch._pool(job, benchmark)
    assert seen == [opened(cfg, "train", paths)]
