"""TREC run files and qrels of every setting, for trec_eval, pytrec_eval, ir_measures and their like.

    runs/monolingual/X.trec       qrels/monolingual/X.qrels       queries of X, candidates of X
    runs/cross_lingual/X-Y.trec   qrels/cross_lingual/X-Y.qrels   queries of X, candidates of Y
    runs/multilingual/X.trec      qrels/multilingual/X.qrels      queries of X, all candidates

A run and the qrels of the same name give one entry of metrics.json (of `per_language` or `per_pair`): a
tool's mean over the queries is that entry, and the mean over the files of a folder is the setting's number.
A query stands in a run and its qrels where it has a relevant candidate among those ranked; where no query
does, there is no file.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hybrid_retrieval.atomic_folder import atomic_folder
from hybrid_retrieval.errors import UserError
from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.pool import Pool, block_rows
from hybrid_retrieval.evaluation.results import SETTINGS
from hybrid_retrieval.float32 import full_float32

DEPTH = 100


def write_trec(
    folder: Path,
    query_embeddings: np.ndarray,
    candidate_embeddings: np.ndarray,
    benchmark: Benchmark,
    *,
    settings: Sequence[str] = SETTINGS,
    depth: int | None = DEPTH,
    tag: str = "hybrid-retrieval",
    block_bytes: int | None = None,
    device: torch.device | str | None = None,
) -> None:
    """Write the run files and the qrels of a benchmark.

    The order within a run is that of `rank_relevant`: by float32 score, equal scores by id, descending.
    Scores have the 9 digits that give the same float32 when read, so that trec_eval, which sorts by float32
    score and then by id whatever a file's order, finds the same ranks. Grades go into the qrels. (`RR@10`
    of ir_measures is the MS MARCO script's, which sorts equal scores by id ascending: take its `RR`, which
    is trec_eval's, and 0 where it is below 1/10.)

    A line has about 60 bytes: XQuAD-R in all settings takes about 1 GB at depth 100, ten times that at depth
    1000. Scores are computed and written block by block: memory does not grow with the number of queries.

    Args:
        folder: gets `runs/` and `qrels/`; an existing folder is replaced as a whole, when all is written.
        query_embeddings: float32 (queries, dimension), in the order of `benchmark.query_ids`.
        candidate_embeddings: float32 (candidates, dimension), in the order of `benchmark.candidate_ids`.
        benchmark: what they are the embeddings of.
        settings: which of SETTINGS to write.
        depth: candidates a query; None is all of them, without which `map` is that of a cut ranking.
        tag: the run's name, in the last column.
        block_bytes: bound in bytes on the scores held at one time, as for `rank_relevant`.
        device: where to compute; None is the GPU if there is one, else the CPU.

    Raises:
        UserError: an id, the code of a language or the tag would break the format.
        ValueError: the embeddings do not fit the benchmark or are not finite; an unknown setting or depth.
    """
    _check_names(benchmark, tag)
    _check_arguments(query_embeddings, candidate_embeddings, benchmark, settings, depth)
    on = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    pool = Pool(
        candidate_embeddings, benchmark.candidate_language, len(benchmark.languages), benchmark.tie_order, on
    )
    rows = block_rows(len(benchmark.candidate_ids), on, block_bytes)
    runs = [run for run in _runs(benchmark) if run.setting in settings]
    with atomic_folder(folder) as new, torch.inference_mode(), full_float32():
        for run in runs:
            _append(new / "qrels" / f"{run.name}.qrels", _qrels(benchmark, run))
        for start in range(0, len(query_embeddings), rows):
            scores = pool.scores(query_embeddings[start : start + rows])
            for run in runs:
                first, end = np.searchsorted(run.queries, [start, start + rows])
                queries = run.queries[first:end]
                if len(queries):
                    best, of_best = _best(pool, scores[torch.from_numpy(queries - start)], run, depth)
                    path = new / "runs" / f"{run.name}.trec"
                    _append(path, _lines(benchmark, queries, best, of_best, tag))


@dataclass(frozen=True)
class _Run:
    """One run file: its path without the ending, its queries in ascending order, what they are ranked in."""

    setting: str
    name: str
    queries: np.ndarray
    document_language: int | None  # None is the pool


def _runs(benchmark: Benchmark) -> Iterator[_Run]:
    """The runs of every setting that have a query."""
    answered = np.zeros((len(benchmark.query_ids), len(benchmark.languages)), dtype=bool)
    query = np.repeat(np.arange(len(answered)), np.diff(benchmark.relevant_offsets))
    answered[query, benchmark.candidate_language[benchmark.relevant]] = True
    for x, code in enumerate(benchmark.languages):
        queries = np.flatnonzero(benchmark.query_language == x)
        runs = [_Run("multilingual", f"multilingual/{code}", queries, None)]
        for y, other in enumerate(benchmark.languages):
            setting, name = ("monolingual", code) if x == y else ("cross_lingual", f"{code}-{other}")
            runs.append(_Run(setting, f"{setting}/{name}", queries[answered[queries, y]], y))
        yield from (run for run in runs if len(run.queries))


def _best(pool: Pool, scores: Tensor, run: _Run, depth: int | None) -> tuple[np.ndarray, np.ndarray]:
    """Positions in the pool of the best candidates of each row, and their scores; two (rows, depth)."""
    part, first = pool, 0
    if run.document_language is not None:
        part, span = pool.of_language(run.document_language)
        first, scores = span.start, scores[:, span]
    best = part.best(scores, min(depth or scores.shape[1], scores.shape[1]))
    return best, np.take_along_axis(scores.cpu().numpy(), pool.column_of[best] - first, axis=1)


def _lines(
    benchmark: Benchmark, queries: np.ndarray, best: np.ndarray, scores: np.ndarray, tag: str
) -> Iterator[str]:
    """The lines of a run, those of one query at a time."""
    ids = benchmark.candidate_ids
    for query, positions, values in zip(queries, best.tolist(), scores.tolist(), strict=True):
        start = f"{benchmark.query_ids[query]} Q0 "
        ranked = enumerate(zip(positions, values, strict=True), 1)
        yield "".join([f"{start}{ids[i]} {rank} {score:.9g} {tag}\n" for rank, (i, score) in ranked])


def _qrels(benchmark: Benchmark, run: _Run) -> Iterator[str]:
    for query in run.queries.tolist():
        for pair in range(*benchmark.relevant_offsets[query : query + 2].tolist()):
            candidate = benchmark.relevant[pair]
            if run.document_language in (None, benchmark.candidate_language[candidate]):
                grade = 1 if benchmark.grades is None else benchmark.grades[pair]
                yield f"{benchmark.query_ids[query]} 0 {benchmark.candidate_ids[candidate]} {grade}\n"


def _append(path: Path, lines: Iterable[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a", encoding="utf-8", newline="\n") as file:
        file.writelines(lines)


def _check_names(benchmark: Benchmark, tag: str) -> None:
    named = {"query ids": benchmark.query_ids, "candidate ids": benchmark.candidate_ids, "run names": [tag]}
    for what, names in named.items():
        broken = [name for name in names if name.split() != [name]]
        if broken:
            raise UserError(
                f"{benchmark.name}: {len(broken)} of {len(names)} {what} are empty or hold white space, "
                f"which separates the columns of a TREC file; the first is {broken[0]!r}. Rename them."
            )
    for code in benchmark.languages:
        if not re.fullmatch(r"\w[\w.-]*", code):
            raise UserError(
                f"{benchmark.name}: the language {code!r} cannot be part of a file's name. "
                "Use a code of letters, digits, '-', '_' and '.', such as 'zh' or 'zh-Hant'."
            )


def _check_arguments(
    query_embeddings: np.ndarray,
    candidate_embeddings: np.ndarray,
    benchmark: Benchmark,
    settings: Sequence[str],
    depth: int | None,
) -> None:
    shapes = (query_embeddings.shape[:-1], candidate_embeddings.shape[:-1])
    if shapes != ((len(benchmark.query_ids),), (len(benchmark.candidate_ids),)):
        raise ValueError(f"the embeddings of {shapes} queries and candidates do not fit {benchmark.name}")
    if not (np.isfinite(query_embeddings).all() and np.isfinite(candidate_embeddings).all()):
        raise ValueError("the embeddings hold NaN or infinity")
    if not set(settings) <= set(SETTINGS):
        raise ValueError(f"settings {list(settings)} are not among {SETTINGS}")
    if depth is not None and depth < 1:
        raise ValueError(f"depth must be at least 1 or None, not {depth}")
