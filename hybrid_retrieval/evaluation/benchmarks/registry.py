"""Benchmarks by the name that `benchmark=` takes."""

import re
from pathlib import Path

import numpy as np
from omegaconf import DictConfig

from hybrid_retrieval.data.open import open_data
from hybrid_retrieval.data.parallel import ParallelCorpus
from hybrid_retrieval.data.readers.base import Row
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.parallel import benchmark_from_rows
from hybrid_retrieval.evaluation.benchmarks.xquad_r import xquad_r

_SETTING = re.compile(r"(?<![\w./-])data(=|\.(?=(?:path|options|languages|validation_fraction)\b))")


def load_benchmark(cfg: DictConfig, cache: str | None) -> Benchmark:
    """Read the benchmark of a `benchmark` configuration.

    Args:
        cfg: one of `conf/benchmark/`.
        cache: folder of prepared data sets; None is the user's cache.

    Raises:
        UserError: files missing or malformed, or no such benchmark.
    """
    languages = list(cfg.languages) if cfg.get("languages") is not None else None
    if cfg.name == "xquad_r":
        if not cfg.path:
            raise UserError(
                "benchmark=xquad_r needs benchmark.path=<folder with ar.json ... zh.json>; the files are in "
                "the folder xquad-r of LAReQA's data (https://github.com/google-research-datasets/lareqa)."
            )
        return xquad_r(Path(cfg.path), languages=languages, candidate=cfg.candidate)
    if "reader" in cfg:
        return _held_out(cfg, cache, languages)
    raise UserError(f"benchmark.name={cfg.name} is unknown; known: xquad_r, world_facts, parallel.")


def _held_out(cfg: DictConfig, cache: str | None, languages: list[str] | None) -> Benchmark:
    """Rows of a split of parallel corpora as a benchmark."""
    rows: dict[str, list[Row]] = {}
    try:
        corpora = open_data(cfg, cache, cfg.split)
    except UserError as error:
        # Readers name the settings of `data=`; here they are those of `benchmark=`.
        raise UserError(_SETTING.sub(_of_benchmark, str(error))) from error
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


def _of_benchmark(setting: re.Match[str]) -> str:
    return "benchmark.reader=" if setting[1] == "=" else "benchmark."


def _sample(corpus: ParallelCorpus, limit: int | None) -> set[str] | None:
    """Passage ids, spread evenly over the split, that together have about `limit` triples; None for all."""
    if limit is None or limit >= len(corpus):
        return None
    if limit < 2:
        raise UserError(f"benchmark.limit={limit} leaves nothing to rank: use 2 or more, or null for all.")
    ids = sorted({row.passage_id for language in corpus.languages for row in corpus.rows(language)})
    count = max(2, round(limit * len(ids) / len(corpus)))
    return {ids[i] for i in np.linspace(0, len(ids) - 1, min(count, len(ids))).astype(int)}
