"""InfoNCE on a benchmark, the validation loss of a data set that is not trained on."""

import numpy as np
import torch
from torch import Tensor

from hybrid_retrieval.evaluation.benchmark import Benchmark

_BLOCK = 256


def benchmark_loss(
    queries: np.ndarray, candidates: np.ndarray, benchmark: Benchmark, temperature: float
) -> dict[str, float]:
    """InfoNCE of each query against all candidates of one language.

    For every ordered pair of languages (X, Y) the loss of a query of X is the mean over its relevant
    candidates of Y, each against the candidates of Y that are not relevant; a query counts where it has one.
    `loss_monolingual` is the mean over X = Y, `loss_cross_lingual` over X != Y, and `loss` the mean of the
    two, or the one that exists. It is `ValidationLoss` for queries with any number of answers.

    Args:
        queries: float32 (queries, d), L2-normalised.
        candidates: float32 (candidates, d), L2-normalised.
        benchmark: their order and languages.
        temperature: of the training loss.

    Returns:
        `loss`, `loss_monolingual` and `loss_cross_lingual`, NaN where undefined.
    """
    all_queries, all_candidates = torch.from_numpy(queries), torch.from_numpy(candidates)
    found: dict[bool, list[Tensor]] = {True: [], False: []}
    for y in range(len(benchmark.languages)):
        members = np.flatnonzero(benchmark.candidate_language == y)
        pairs = _relevant_among(benchmark, members)
        for x in range(len(benchmark.languages)):
            answered = np.unique(pairs[0, benchmark.query_language[pairs[0]] == x])
            if len(answered):
                losses = [
                    _losses(
                        all_queries[block], all_candidates[members], _mask(block, pairs, members), temperature
                    )
                    for block in np.split(answered, range(_BLOCK, len(answered), _BLOCK))
                ]
                found[x == y].append(torch.cat(losses).double().mean())
    means = {same: float(torch.stack(losses).mean()) for same, losses in found.items() if losses}
    nan = float("nan")
    return {
        "loss": sum(means.values()) / len(means) if means else nan,
        "loss_monolingual": means.get(True, nan),
        "loss_cross_lingual": means.get(False, nan),
    }


def _relevant_among(benchmark: Benchmark, members: np.ndarray) -> np.ndarray:
    """Pairs of query and position among `members`, int64 (2, n), sorted by query."""
    of_query = np.repeat(np.arange(len(benchmark.query_ids)), np.diff(benchmark.relevant_offsets))
    place = np.full(len(benchmark.candidate_ids), -1, dtype=np.int64)
    place[members] = np.arange(len(members))
    position = place[benchmark.relevant]
    return np.stack([of_query, position])[:, position >= 0]


def _mask(block: np.ndarray, pairs: np.ndarray, members: np.ndarray) -> Tensor:
    """Bool (queries of the block, members), whether a candidate is relevant."""
    mask = torch.zeros(len(block), len(members), dtype=torch.bool)
    own = np.isin(pairs[0], block)
    mask[np.searchsorted(block, pairs[0, own]), pairs[1, own]] = True
    return mask


def _losses(queries: Tensor, candidates: Tensor, relevant: Tensor, temperature: float) -> Tensor:
    """Mean loss of each query over its relevant candidates, (queries,)."""
    scores = queries @ candidates.T / temperature
    negatives = scores.masked_fill(relevant, -torch.inf).logsumexp(1, keepdim=True)
    losses = torch.logaddexp(scores, negatives) - scores
    return losses.masked_fill(~relevant, 0.0).sum(1) / relevant.sum(1)
