"""Exact ranks of the relevant candidates, by counting the candidates that score higher."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

BLOCK_BYTES_CPU = 8 << 20
BLOCK_BYTES_GPU = 256 << 20


@dataclass(frozen=True)
class Ranking:
    """For every pair of a query and one of its relevant candidates, how many candidates are ranked ahead.

    One count per language of the pool serves every setting: the rank among the candidates of the relevant
    candidate's own language (monolingual and every cross-lingual pair), and the rank in the pool.

    Attributes:
        query: int64 (pairs,), position of the query, ascending.
        language: int64 (pairs,), language of the relevant candidate.
        ahead: int32 (pairs, languages), number of candidates of each language ahead of the relevant one.
        queries: number of queries.
    """

    query: np.ndarray
    language: np.ndarray
    ahead: np.ndarray
    queries: int

    @property
    def rank_in_language(self) -> np.ndarray:
        """Rank among the candidates of the relevant candidate's own language, from 1; int64 (pairs,)."""
        own = np.take_along_axis(self.ahead, self.language[:, None], axis=1)[:, 0]
        return own.astype(np.int64) + 1

    @property
    def rank_in_pool(self) -> np.ndarray:
        """Rank among the candidates of all languages, from 1; int64 (pairs,)."""
        ahead: np.ndarray = self.ahead.sum(axis=1, dtype=np.int64)
        return ahead + 1


def rank_relevant(
    query_embeddings: np.ndarray,
    candidate_embeddings: np.ndarray,
    *,
    candidate_language: np.ndarray,
    languages: int,
    tie_order: np.ndarray,
    relevant_offsets: np.ndarray,
    relevant: np.ndarray,
    block_bytes: int | None = None,
    device: torch.device | str | None = None,
) -> Ranking:
    """Rank every relevant candidate of every query by inner product, without sorting.

    Scores are float32. Equal scores are ordered by `tie_order`; with `Benchmark.tie_order` that is
    trec_eval's rule (document id, descending; trec_eval, too, compares scores as float32). Candidates with
    equal embeddings have exactly equal scores.

    Args:
        query_embeddings: float32 (queries, dimension).
        candidate_embeddings: float32 (candidates, dimension).
        candidate_language: int (candidates,), each in [0, languages).
        languages: number of languages.
        tie_order: int (candidates,), a permutation: the candidate with the smaller number wins a tie.
        relevant_offsets: int64 (queries + 1,), with `relevant` as in `Benchmark`.
        relevant: int64 positions of candidates.
        block_bytes: bound in bytes on the block of scores held at one time, or one query's scores if
            these are more; None is 8 MiB on the CPU (near the caches' size) and 256 MiB on a GPU. The result
            does not depend on it beyond the rounding of float32.
        device: where to compute; None is the GPU if there is one, else the CPU.

    Raises:
        ValueError: an embedding is NaN or infinite (nothing scores higher than NaN: it would rank first).
    """
    if not (np.isfinite(query_embeddings).all() and np.isfinite(candidate_embeddings).all()):
        raise ValueError("the embeddings hold NaN or infinity")
    on = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    by_language = np.lexsort((tie_order, candidate_language))
    column_of = np.empty_like(by_language)
    column_of[by_language] = np.arange(len(by_language))
    edges = np.searchsorted(candidate_language[by_language], np.arange(languages + 1)).tolist()
    sorted_candidates = np.ascontiguousarray(candidate_embeddings[by_language], dtype=np.float32)
    repeated, original = (rows.to(on) for rows in _repeated_rows(sorted_candidates))

    candidates = torch.from_numpy(sorted_candidates).to(on)
    place = torch.from_numpy(np.ascontiguousarray(tie_order[by_language])).to(on)
    columns = torch.from_numpy(column_of[relevant]).to(on)  # (pairs,)
    ahead = torch.zeros((len(relevant), languages), dtype=torch.int32, device=on)
    queries, pairs_of = len(query_embeddings), np.diff(relevant_offsets)

    block_bytes = block_bytes or (BLOCK_BYTES_GPU if on.type == "cuda" else BLOCK_BYTES_CPU)
    rows = max(1, block_bytes // (4 * max(1, len(candidates))))
    with torch.inference_mode(), _full_float32():
        for start in range(0, queries, rows):
            block = torch.from_numpy(
                np.ascontiguousarray(query_embeddings[start : start + rows], dtype=np.float32)
            )
            scores = block.to(on) @ candidates.T  # (rows, candidates)
            scores[:, repeated] = scores[:, original]
            in_block = pairs_of[start : start + rows]
            for nth in range(in_block.max(initial=0)):
                having = np.flatnonzero(in_block > nth)
                pair = torch.from_numpy(relevant_offsets[start + having] + nth).to(on)
                of_having = scores if len(having) == len(scores) else scores[torch.from_numpy(having).to(on)]
                ahead[pair] = _ahead(of_having, columns[pair], place, edges)

    return Ranking(
        query=np.repeat(np.arange(queries, dtype=np.int64), pairs_of),
        language=candidate_language[relevant].astype(np.int64),
        ahead=ahead.cpu().numpy(),
        queries=queries,
    )


def _ahead(scores: Tensor, column: Tensor, place: Tensor, edges: list[int]) -> Tensor:
    """Count per language the candidates ahead of the one in `column` of each row; int32 (rows, languages)."""
    own = scores.gather(1, column[:, None])
    ahead = _count_by_language(scores > own, edges)
    equal = scores == own
    tied = (equal.sum(dim=1) > 1).nonzero()[:, 0]  # the candidate itself is always equal
    if len(tied):
        ahead[tied] += _count_by_language(equal[tied] & (place < place[column[tied], None]), edges)
    return ahead


def _count_by_language(mask: Tensor, edges: list[int]) -> Tensor:
    spans = pairwise(edges)
    return torch.stack([mask[:, start:end].sum(dim=1, dtype=torch.int32) for start, end in spans], dim=1)


def _repeated_rows(rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Positions of the rows that repeat an earlier one, and of the earlier ones.

    A matrix product may round equal columns differently at the edges of its tiles: their scores are copied.
    """
    as_bytes = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
    original = first[inverse]
    repeated = np.flatnonzero(original != np.arange(len(rows)))
    return torch.from_numpy(repeated), torch.from_numpy(original[repeated])


@contextmanager
def _full_float32() -> Iterator[None]:
    """Switch off TF32 and autocast: ranks must not depend on how training was set up."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        with torch.autocast("cuda", enabled=False), torch.autocast("cpu", enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(before)
