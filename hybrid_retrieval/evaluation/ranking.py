"""Exact ranks of the relevant candidates by counting those that score higher, and the top of each ranking."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
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
        candidate: int64 (pairs,), position of the relevant candidate in the pool.
        language: int64 (pairs,), language of the relevant candidate.
        ahead: int32 (pairs, languages), number of candidates of each language ahead of the relevant one.
        top: int32 (queries, k), positions of the first k candidates of the pool, best first.
        queries: number of queries.
    """

    query: np.ndarray
    candidate: np.ndarray
    language: np.ndarray
    ahead: np.ndarray
    top: np.ndarray
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
    top: int = 0,
    block_bytes: int | None = None,
    device: torch.device | str | None = None,
) -> Ranking:
    """Rank every relevant candidate of every query by inner product.

    The scores of a few queries are held at one time. Those of each language are sorted as plain numbers, and
    a binary search of the relevant candidate's score counts the candidates ahead of it.

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
        top: how many candidates of the pool's ranking to give; the whole pool if it is smaller.
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
    pool = _Pool(candidate_embeddings, candidate_language, languages, tie_order, on)
    queries, pairs_of = len(query_embeddings), np.diff(relevant_offsets)
    columns = pool.column_of[relevant]
    top = min(top, len(candidate_embeddings))
    ahead = np.zeros((len(relevant), languages), dtype=np.int32)
    first = np.empty((queries, top), dtype=np.int32)

    block_bytes = block_bytes or (BLOCK_BYTES_GPU if on.type == "cuda" else BLOCK_BYTES_CPU)
    rows = max(1, block_bytes // (4 * max(1, len(candidate_embeddings))))
    with torch.inference_mode(), _full_float32(), ThreadPoolExecutor(torch.get_num_threads()) as threads:
        for start in range(0, queries, rows):
            block = slice(start, min(start + rows, queries))
            scores = pool.scores(query_embeddings[block])
            pairs = slice(int(relevant_offsets[block.start]), int(relevant_offsets[block.stop]))
            row_of_pair = np.repeat(np.arange(block.stop - block.start), pairs_of[block])
            ahead[pairs] = pool.count_ahead(scores, row_of_pair, columns[pairs], threads)
            if top:
                first[block] = pool.best(scores, top)

    return Ranking(
        query=np.repeat(np.arange(queries, dtype=np.int64), pairs_of),
        candidate=relevant.astype(np.int64),
        language=candidate_language[relevant].astype(np.int64),
        ahead=ahead,
        top=first,
        queries=queries,
    )


class _Pool:
    """The candidates in columns: by language, and within a language by their place in a tie."""

    def __init__(
        self,
        embeddings: np.ndarray,
        language: np.ndarray,
        languages: int,
        tie_order: np.ndarray,
        device: torch.device,
    ) -> None:
        self.candidate_at = np.lexsort((tie_order, language))
        self.column_of = np.empty_like(self.candidate_at)
        self.column_of[self.candidate_at] = np.arange(len(self.candidate_at))
        self.edges: list[int] = np.searchsorted(
            language[self.candidate_at], np.arange(languages + 1)
        ).tolist()
        columns = np.ascontiguousarray(embeddings[self.candidate_at], dtype=np.float32)
        self.repeated, self.original = (of.to(device) for of in _repeated_rows(columns))
        self.embeddings = torch.from_numpy(columns).to(device)
        self.place = torch.from_numpy(np.ascontiguousarray(tie_order[self.candidate_at])).to(device)
        self.device = device

    def scores(self, queries: np.ndarray) -> Tensor:
        """Inner products; float32 (queries, columns)."""
        block = torch.from_numpy(np.ascontiguousarray(queries, dtype=np.float32)).to(self.device)
        scores = block @ self.embeddings.T
        scores[:, self.repeated] = scores[:, self.original]
        return scores

    def count_ahead(
        self, scores: Tensor, row: np.ndarray, column: np.ndarray, threads: ThreadPoolExecutor
    ) -> np.ndarray:
        """Count per language the candidates ahead of that in (row, column); int32 (pairs, languages)."""
        ahead = np.zeros((len(row), len(self.edges) - 1), dtype=np.int32)
        if not len(row):
            return ahead
        rows, columns = (torch.from_numpy(of).to(self.device) for of in (row, column))
        own = scores[rows, columns]
        # One row of thresholds a query, padded: the binary searches of a language are one call.
        nth = np.arange(len(row)) - np.searchsorted(row, row)
        place_of = rows, torch.from_numpy(nth).to(self.device)
        wanted = torch.zeros((len(scores), int(nth.max()) + 1), device=self.device)
        wanted[place_of] = own
        equal = torch.zeros(len(row), dtype=torch.int64, device=self.device)
        spans = list(pairwise(self.edges))
        in_order = threads.map(lambda span: _sorted(scores[:, span[0] : span[1]]), spans)
        for language, ordered in enumerate(in_order):
            above = torch.searchsorted(ordered, wanted, right=True)[place_of]
            equal += above - torch.searchsorted(ordered, wanted)[place_of]
            ahead[:, language] = (ordered.shape[1] - above).cpu().numpy()
        tied = (equal > 1).nonzero()[:, 0]  # the candidate itself is always equal
        if len(tied):
            of_tied = scores[rows[tied]]
            wins = (of_tied == own[tied, None]) & (self.place < self.place[columns[tied], None])
            counts = [wins[:, start:end].sum(dim=1, dtype=torch.int32) for start, end in spans]
            ahead[tied.cpu().numpy()] += torch.stack(counts, dim=1).cpu().numpy()
        return ahead

    def best(self, scores: Tensor, top: int) -> np.ndarray:
        """Positions in the pool of the best candidates of each row, ties in order; int64 (rows, top)."""
        values, columns = torch.topk(scores, min(top + 1, scores.shape[1]), dim=1)
        best = columns[:, :top].cpu().numpy()
        doubtful = (values[:, 1:] == values[:, :-1]).any(dim=1).nonzero()[:, 0]
        for row in doubtful.tolist():
            enough = (scores[row] >= values[row, top - 1]).nonzero()[:, 0]
            key = self.place[enough].cpu().numpy(), -scores[row, enough].cpu().numpy()
            best[row] = enough.cpu().numpy()[np.lexsort(key)[:top]]
        found: np.ndarray = self.candidate_at[best]
        return found


def _sorted(scores: Tensor) -> Tensor:
    """Each row in ascending order; NumPy's vectorised sort is far faster on a CPU than PyTorch's."""
    if scores.device.type != "cpu":
        return scores.sort(dim=1).values
    return torch.from_numpy(np.sort(scores.numpy(), axis=1))


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
