"""The texts of benchmarks, that training data must not contain."""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
from omegaconf import DictConfig, OmegaConf

from hybrid_retrieval.config_folder import config_folder
from hybrid_retrieval.data.open import prepare_data
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.benchmarks.miracl import find_topics
from hybrid_retrieval.evaluation.benchmarks.registry import AnyBenchmark, load_benchmark
from hybrid_retrieval.evaluation.benchmarks.squadshifts import SUBSETS
from hybrid_retrieval.evaluation.bitext import Bitext
from hybrid_retrieval.evaluation.corpus.files import read_topics
from hybrid_retrieval.evaluation.sources.catalogue import find_source
from hybrid_retrieval.evaluation.sources.prepared import benchmark_folder

SETTING = "data.clean.decontaminate"

_FILES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "xquad_r": ("[a-z][a-z]*.json",),
        "mlqa_r": ("[a-z][a-z]*.json",),
        "tatoeba": ("tatoeba.*",),
        "squadshifts": ("*_v1.0.json*",),
        "miracl": tuple(
            f"{root}{folder}topics.*.tsv"
            for root in ("", "miracl/")
            for folder in ("", "topics/", "miracl-v1.0-*/topics/")
        ),
        "mewsli_x": tuple(f"{root}wikinews_mentions-*.jsonl" for root in ("", "mewsli_x/output/dataset/")),
        "beir": ("corpus.jsonl*", "queries.jsonl*", "qrels/*.tsv*"),
    }
)
"""Patterns of the files that hold a benchmark's texts."""

_OPEN_COLLECTIONS = ("beir",)
"""Benchmarks with passages of a general collection, of which only those that answer a query count."""

_PATH = re.compile(r"(?:benchmark|data)\.path=<([^>]*)>")


class BenchmarkText(NamedTuple):
    """A query or a candidate of a benchmark.

    Attributes:
        id: unique within the benchmark.
        language: ISO 639-1 code.
        text: as the benchmark has it.
    """

    id: str
    language: str
    text: str


@dataclass(frozen=True)
class BenchmarkFiles:
    """A benchmark that is there.

    Attributes:
        entry: as the setting has it, `NAME` or `NAME:FOLDER`.
        cfg: one of `conf/benchmark/`, with its path.
        paths: one of `conf/paths/`.
        folder: with its files; None for one that has none of its own.
    """

    entry: str
    cfg: DictConfig
    paths: DictConfig
    folder: Path | None

    def fingerprint(self, hash_file: Callable[[Path], str]) -> list[str]:
        """What the texts depend on.

        Args:
            hash_file: hex digest of a file.
        """
        options = OmegaConf.to_yaml(OmegaConf.masked_copy(self.cfg, sorted({*self.cfg} - {"path"})))
        if self.folder is None:
            return [options, *(folder.name for folder in self._prepared())]
        files = text_files(self.cfg.name, self.folder)
        return [options, *(f"{f.relative_to(self.folder).as_posix()} {hash_file(f)}" for f in files)]

    def texts(self) -> Iterator[BenchmarkText]:
        """Read the queries, and the candidates where they are in the files.

        Raises:
            UserError: a file is malformed; the message names the setting.
        """
        try:
            yield from self._texts()
        except UserError as error:
            raise _of_setting(error, self.entry, self.cfg.name) from error

    def _texts(self) -> Iterator[BenchmarkText]:
        if self.cfg.name == "miracl" and self.folder is not None:  # without the passages
            for language, file in find_topics(self.folder, self.cfg.split).items():
                for query_id, text in read_topics(file).items():
                    yield BenchmarkText(f"{language}:{query_id}", language, text)
            return
        parts: list[dict[str, str]] = [{}]
        if self.cfg.name == "squadshifts" and self.folder is not None:
            folder = self.folder
            parts = [{"subset": name} for name in SUBSETS if any(folder.glob(f"{name}_v1.0.json*"))]
        for part in parts:
            cfg = OmegaConf.merge(self.cfg, part)
            assert isinstance(cfg, DictConfig)
            yield from _texts_of(load_benchmark(cfg, self.paths), cfg.name)

    def _prepared(self) -> list[Path]:
        try:
            return prepare_data(self.cfg, self.paths.cache)
        except UserError as error:
            raise _of_setting(error, self.entry, self.cfg.name) from error


def known_benchmarks() -> list[str]:
    """The names that the setting takes, sorted."""
    files = sorted((config_folder() / "benchmark").glob("*.yaml"))
    return [file.stem for file in files if "defaults" not in OmegaConf.load(file)]


def find_benchmark(entry: str, paths: DictConfig) -> BenchmarkFiles:
    """Find the files of a benchmark, without reading them as a whole.

    Args:
        entry: `NAME`, for one that `hybrid-retrieval prepare benchmark=NAME` has fetched, or `NAME:FOLDER`.
        paths: one of `conf/paths/`.

    Raises:
        UserError: no such benchmark, or its files are missing; the message says how to get them.
    """
    name, _, place = entry.partition(":")
    if name not in known_benchmarks():
        raise UserError(
            f"{SETTING}: '{name}' is no benchmark; known: {', '.join(known_benchmarks())}. Write NAME, or "
            "NAME:FOLDER for one whose files lie elsewhere."
        )
    cfg = OmegaConf.load(config_folder() / "benchmark" / f"{name}.yaml")
    assert isinstance(cfg, DictConfig)
    if "reader" in cfg:
        cfg.path = place or None
        return BenchmarkFiles(entry, cfg, paths, None)
    try:
        folder = benchmark_folder(name, place or None, paths.cache, paths.benchmarks)
    except UserError as error:
        raise _of_setting(error, entry, name) from error
    if not text_files(name, folder):
        what = f"holds none of the files of {name} ({', '.join(_FILES[name])})"
        what = what if folder.is_dir() else "is no folder"
        source = find_source(name)
        run = f", or leave it out and run: hybrid-retrieval prepare benchmark={name}"
        raise UserError(
            f"{SETTING}: {folder} {what}. Correct the folder in '{entry}'"
            f"{run if source is not None and source.files else '.'}"
        )
    cfg.path = str(folder)
    return BenchmarkFiles(entry, cfg, paths, folder)


def text_files(name: str, folder: Path) -> list[Path]:
    """The files of a folder that hold the texts of a benchmark, sorted."""
    patterns = _FILES.get(name, ("**/*",))
    return sorted({file for pattern in patterns for file in folder.glob(pattern) if file.is_file()})


def _texts_of(benchmark: AnyBenchmark, name: str) -> Iterator[BenchmarkText]:
    if isinstance(benchmark, Benchmark):
        yield from _of_pool(benchmark, answers_only=name in _OPEN_COLLECTIONS)
    elif isinstance(benchmark, Bitext):
        for pair in benchmark.pairs:
            for side, language in enumerate(pair.languages):
                for identifier, text in zip(pair.ids(side), pair.sentences[side], strict=True):
                    yield BenchmarkText(identifier, language, text)
    else:
        for collection in benchmark.collections:
            for query in collection.queries:
                yield BenchmarkText(query.id, query.language, query.text)


def _of_pool(benchmark: Benchmark, *, answers_only: bool) -> Iterator[BenchmarkText]:
    for i, text in enumerate(benchmark.query_texts):
        language = benchmark.languages[benchmark.query_language[i]]
        yield BenchmarkText(benchmark.query_ids[i], language, text)
    count = len(benchmark.candidate_texts)
    for i in np.unique(benchmark.relevant).tolist() if answers_only else range(count):
        language = benchmark.languages[benchmark.candidate_language[i]]
        yield BenchmarkText(benchmark.candidate_ids[i], language, benchmark.candidate_texts[i])


def _of_setting(error: UserError, entry: str, name: str) -> UserError:
    """The mistake in the words of this setting: evaluation names `benchmark.path`, a reader `data.path`."""
    text = _PATH.sub(rf"{SETTING}=[{name}:<\1>]", str(error)).replace("data.path=", "")
    return UserError(f"{SETTING}: '{entry}': {text.replace('benchmark.path', 'the folder')}")
