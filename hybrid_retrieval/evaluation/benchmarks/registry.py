"""Benchmarks by the name that `benchmark=` takes."""

from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.data.open import open_data
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.data.setting_names import settings_called
from hybrid_retrieval.errors import UserError, naming
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.beir import beir
from hybrid_retrieval.evaluation.benchmarks.mewsli_x import mewsli_x
from hybrid_retrieval.evaluation.benchmarks.miracl import miracl
from hybrid_retrieval.evaluation.benchmarks.mlqa_r import mlqa_r
from hybrid_retrieval.evaluation.benchmarks.parallel import benchmark_from_rows
from hybrid_retrieval.evaluation.benchmarks.squadshifts import squadshifts
from hybrid_retrieval.evaluation.benchmarks.tatoeba import tatoeba
from hybrid_retrieval.evaluation.benchmarks.xquad_r import xquad_r
from hybrid_retrieval.evaluation.bitext import Bitext
from hybrid_retrieval.evaluation.corpus.benchmark import CorpusBenchmark
from hybrid_retrieval.evaluation.sources.prepared import benchmark_folder

AnyBenchmark = Benchmark | Bitext | CorpusBenchmark

_FROM_FILES: Mapping[str, Callable[[Path, DictConfig], AnyBenchmark]] = MappingProxyType(
    {
        "xquad_r": lambda path, cfg: xquad_r(path, languages=_languages(cfg), candidate=cfg.candidate),
        "mlqa_r": lambda path, cfg: mlqa_r(path, languages=_languages(cfg), candidate=cfg.candidate),
        "tatoeba": lambda path, cfg: tatoeba(path, languages=_languages(cfg), kind=cfg.kind),
        "squadshifts": lambda path, cfg: squadshifts(path, subset=cfg.subset),
        "beir": lambda path, cfg: beir(path, split=cfg.split, language=cfg.language),
        "miracl": lambda path, cfg: miracl(path, languages=_languages(cfg), split=cfg.split),
        "mewsli_x": lambda path, cfg: mewsli_x(path, languages=_languages(cfg), split=cfg.split),
    }
)
_FROM_DATA = ("world_facts", "parallel")


def load_benchmark(cfg: DictConfig, paths: DictConfig) -> AnyBenchmark:
    """Read the benchmark of a `benchmark` configuration.

    Args:
        cfg: one of `conf/benchmark/`.
        paths: one of `conf/paths/`: where prepared data sets and benchmarks lie.

    Raises:
        UserError: files missing or malformed, or no such benchmark.
    """
    if cfg.name in _FROM_FILES:
        folder = benchmark_folder(cfg.name, cfg.path, paths.cache, paths.benchmarks)
        with naming(folder):
            return _FROM_FILES[cfg.name](folder, cfg)
    if "reader" in cfg:
        return _held_out(cfg, paths, _languages(cfg))
    raise UserError(
        f"benchmark.name={cfg.name} is unknown; known: {', '.join(sorted([*_FROM_FILES, *_FROM_DATA]))}."
    )


def benchmark_options(cfg: DictConfig) -> dict[str, Any]:
    """What decides what is evaluated, other than the files, for metrics.json."""
    places = ("name", "path", "shards", "shard_rows")
    options: dict[str, Any] = OmegaConf.to_container(cfg)  # type: ignore[assignment]
    return {key: value for key, value in options.items() if key not in places}


def load_pool_benchmark(cfg: DictConfig, paths: DictConfig, setting: str) -> Benchmark:
    """A benchmark that is ranked as a whole, as training can evaluate on.

    Args:
        cfg: one of `conf/benchmark/`.
        paths: one of `conf/paths/`.
        setting: which setting chose it, for the message.

    Raises:
        UserError: as `load_benchmark`, or another kind of benchmark.
    """
    benchmark = load_benchmark(cfg, paths)
    if not isinstance(benchmark, Benchmark):
        raise UserError(
            f"{setting}={cfg.name} cannot be evaluated during training: use hybrid-retrieval evaluate "
            f"model=<run folder>/model benchmark={cfg.name} afterwards, and another {setting} here."
        )
    return benchmark


def _languages(cfg: DictConfig) -> list[str] | None:
    return [str(code) for code in cfg.languages] if cfg.get("languages") is not None else None


def _held_out(cfg: DictConfig, paths: DictConfig, languages: list[str] | None) -> Benchmark:
    """Rows of a split of parallel corpora as a benchmark.

    Cleaning the training data (`data.clean`) moves no row into another split, so that the rows here were not
    trained on, whether they were cleaned or not.
    """
    rows: dict[str, list[Row]] = {}
    # conf/benchmark/parallel.yaml names no options: which there are, the reader knows.
    with settings_called("benchmark", reader="benchmark.reader", options="++benchmark.options"):
        corpora = open_data(cfg, paths.cache, cfg.split, benchmarks=paths.benchmarks)
    for corpus in corpora:
        chosen = set(languages) if languages else set(corpus.languages)
        if unknown := chosen - set(corpus.languages):
            raise UserError(
                f"benchmark.languages: '{min(unknown)}' has no data in '{corpus.name}', which has "
                f"{', '.join(corpus.languages)}."
            )
        if not len(corpus):
            raise UserError(
                f"split '{cfg.split}' of '{corpus.name}' is empty. Set benchmark.split, or a "
                "benchmark.validation_fraction above 0 (the same as in training)."
            )
        keep = _sample(corpus, cfg.limit)
        for language in sorted(chosen):
            of_language = corpus.rows(language)
            rows.setdefault(language, []).extend(
                row for row in of_language if keep is None or row.passage_id in keep
            )
    return benchmark_from_rows(cfg.name, rows)


def _sample(corpus: ParallelCorpus, limit: int | None) -> set[str] | None:
    """Passage ids, spread evenly over the split, that together have about `limit` triples; None for all."""
    if limit is None or limit >= len(corpus):
        return None
    if limit < 2:
        raise UserError(f"benchmark.limit={limit} leaves nothing to rank: use 2 or more, or null for all.")
    ids = sorted({row.passage_id for language in corpus.languages for row in corpus.rows(language)})
    count = max(2, round(limit * len(ids) / len(corpus)))
    return {ids[i] for i in np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int)}
