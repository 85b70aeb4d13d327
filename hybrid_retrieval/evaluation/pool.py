"""The scores of queries against a pool of candidates, a block of queries at a time."""

import copy
from concurrent.futures import ThreadPoolExecutor
from itertools import count, pairwise, repeat

import numpy as np
import torch
from torch import Tensor

BLOCK_BYTES_CPU = 64 << 20
BLOCK_BYTES_GPU = 256 << 20


def block_rows(candidates: int, device: torch.device, block_bytes: int | None = None) -> int:
    """How many queries a block has.

    Everything that ranks takes the same blocks: a matrix product of another size may round otherwise.

    Args:
        candidates: in the pool.
        device: where the scores are.
        block_bytes: bound in bytes on the scores of a block, or one query's scores if these are more; None is
            64 MiB on the CPU and 256 MiB on a GPU.
    """
    bound = block_bytes or (BLOCK_BYTES_GPU if device.type == "cuda" else BLOCK_BYTES_CPU)
    return max(1, bound // (4 * max(1, candidates)))


class Pool:
    """The candidates in columns: by language, and within a language by their place in a tie.

    Args:
        embeddings: float32 (candidates, dimension), finite.
        language: int (candidates,), each in [0, languages).
        languages: number of languages.
        tie_order: int (candidates,), a permutation: the candidate with the smaller number wins a tie.
        device: where to compute.

    Attributes:
        candidate_at: int64 (candidates,), the candidate in each column.
        column_of: int64 (candidates,), the column of each candidate.
        edges: of the languages' columns, one more than there are languages.
    """

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
        self.embeddings = columns if device.type == "cpu" else torch.from_numpy(columns).to(device)
        self.place = torch.from_numpy(np.ascontiguousarray(tie_order[self.candidate_at])).to(device)
        self.device = device
        self._kept: dict[int, np.ndarray] = {}

    def scores(self, queries: np.ndarray) -> Tensor:
        """Inner products; float32 (queries, columns), on a CPU valid until the next call."""
        block = np.ascontiguousarray(queries, dtype=np.float32)
        if isinstance(self.embeddings, np.ndarray):
            # NumPy's BLAS is faster than PyTorch's on AMD's processors.
            out = self._scratch(-1, (len(block), len(self.embeddings)))
            scores = torch.from_numpy(np.matmul(block, self.embeddings.T, out=out))
        else:
            scores = torch.from_numpy(block).to(self.device) @ self.embeddings.T
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
        in_order = list(threads.map(self._sorted, repeat(scores), count(), spans))
        for language, ordered in enumerate(in_order):
            above = torch.searchsorted(ordered, wanted, right=True)[place_of]
            equal += above - torch.searchsorted(ordered, wanted)[place_of]
            ahead[:, language] = (ordered.shape[1] - above).cpu().numpy()
        tied = (equal > 1).nonzero()[:, 0]  # the candidate itself is always equal
        if len(tied):
            of_tied = scores[rows[tied]]
            wins = (of_tied == own[tied, None]) & (self.place < self.place[columns[tied], None])
            of_each = [wins[:, start:end].sum(dim=1, dtype=torch.int32) for start, end in spans]
            ahead[tied.cpu().numpy()] += torch.stack(of_each, dim=1).cpu().numpy()
        return ahead

    def _sorted(self, scores: Tensor, language: int, span: tuple[int, int]) -> Tensor:
        """Each row of a language's columns in ascending order."""
        of_language = scores[:, span[0] : span[1]]
        if self.device.type != "cpu":
            return of_language.sort(dim=1).values
        # NumPy's vectorised sort is far faster than PyTorch's.
        ordered = self._scratch(language, (len(scores), span[1] - span[0]))
        np.copyto(ordered, of_language.numpy())
        ordered.sort(axis=1)
        return torch.from_numpy(ordered)

    def _scratch(self, key: int, shape: tuple[int, int]) -> np.ndarray:
        """Memory that is used again for every block: fresh pages cost as much as the work done on them."""
        kept = self._kept.get(key)
        if kept is None or len(kept) < shape[0]:
            kept = self._kept[key] = np.empty(shape, dtype=np.float32)
        return kept[: shape[0]]

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

    def of_language(self, language: int) -> tuple["Pool", slice]:
        """The columns of one language, for `best`, and where they stand among all."""
        span = slice(*self.edges[language : language + 2])
        part = copy.copy(self)
        part.candidate_at, part.place = self.candidate_at[span], self.place[span]
        return part, span


def _repeated_rows(rows: np.ndarray) -> tuple[Tensor, Tensor]:
    """Positions of the rows that repeat an earlier one, and of the earlier ones.

    A matrix product may round equal columns differently at the edges of its tiles: their scores are copied.
    """
    as_bytes = np.ascontiguousarray(rows).view(np.dtype((np.void, rows.itemsize * rows.shape[1])))[:, 0]
    _, first, inverse = np.unique(as_bytes, return_index=True, return_inverse=True)
    original = first[inverse]
    repeated = np.flatnonzero(original != np.arange(len(rows)))
    return torch.from_numpy(repeated), torch.from_numpy(original[repeated])
