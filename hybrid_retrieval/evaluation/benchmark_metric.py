"""Retrieval on a benchmark during training, right under DDP."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.utilities import dim_zero_cat

from hybrid_retrieval.evaluation.benchmark import Benchmark
from hybrid_retrieval.evaluation.evaluate import evaluate_embeddings
from hybrid_retrieval.evaluation.metrics import METRICS
from hybrid_retrieval.evaluation.results import SETTINGS
from hybrid_retrieval.losses.benchmark_loss import benchmark_loss

Kind = Literal["query", "passage"]


class BenchmarkRetrieval(Metric):
    """What `hybrid-retrieval evaluate` computes, from embeddings that arrive in any order on any rank.

    `compute` gives float32 scalars `<metric>_<setting>` for every metric of the three settings, every
    measure of language bias and the losses of `benchmark_loss`, NaN where nothing defines them or when an
    embedding is NaN or infinite.

    Args:
        benchmark: whose queries and candidates are embedded.
        dimension: of an embedding.
        temperature: of the training loss; may be set anew before `compute`.
    """

    full_state_update = False
    higher_is_better = True
    is_differentiable = False

    # One-dimensional, as torchmetrics gathers the empty state of a rank without data as one of these.
    query_embeddings: list[Tensor]
    query_positions: list[Tensor]
    passage_embeddings: list[Tensor]
    passage_positions: list[Tensor]

    def __init__(
        self, benchmark: Benchmark, dimension: int, temperature: float = 0.05, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.benchmark = benchmark
        self.dimension = dimension
        self.temperature = temperature
        for state in ("query_embeddings", "query_positions", "passage_embeddings", "passage_positions"):
            self.add_state(state, default=[], dist_reduce_fx="cat")

    def update(self, kind: Kind, embeddings: Tensor, positions: Tensor) -> None:
        """Add embeddings.

        Args:
            kind: "query" or "passage".
            embeddings: float (n, dimension), L2-normalised.
            positions: int (n,), in the benchmark's list of queries or candidates.
        """
        if embeddings.shape != (len(positions), self.dimension) or kind not in ("query", "passage"):
            raise ValueError(
                f"{kind}: embeddings of shape {tuple(embeddings.shape)}, {len(positions)} positions"
            )
        getattr(self, f"{kind}_embeddings").append(embeddings.detach().float().flatten())
        # float32 holds whole numbers exactly up to 2^24 only: the bits of int64 travel as two of them.
        getattr(self, f"{kind}_positions").append(positions.long().contiguous().view(torch.float32))

    def compute(self) -> dict[str, Tensor]:
        """Evaluate everything added since the last reset.

        Raises:
            ValueError: a query or a candidate was never added.
        """
        queries = self._in_order("query", len(self.benchmark.query_ids))
        candidates = self._in_order("passage", len(self.benchmark.candidate_ids))
        if not (np.isfinite(queries).all() and np.isfinite(candidates).all()):
            keys = [f"{metric}_{setting}" for setting in SETTINGS for metric in METRICS]
            return self._scalars(dict.fromkeys(keys, float("nan")))
        metrics = evaluate_embeddings(queries, candidates, self.benchmark).metrics
        values = {
            f"{metric}_{setting}": value for setting in SETTINGS for metric, value in metrics[setting].items()
        }
        losses = benchmark_loss(queries, candidates, self.benchmark, self.temperature)
        return self._scalars({**values, **metrics["language_bias"], **losses})

    def _in_order(self, kind: Kind, count: int) -> np.ndarray:
        """Embeddings by position; float32 (count, dimension)."""
        embeddings, positions = getattr(self, f"{kind}_embeddings"), getattr(self, f"{kind}_positions")
        found = np.full((count, self.dimension), np.nan, dtype=np.float32)
        seen = np.zeros(count, dtype=bool)
        if len(positions):
            place = dim_zero_cat(positions).cpu().view(torch.int64).numpy()
            found[place] = dim_zero_cat(embeddings).cpu().reshape(len(place), self.dimension).numpy()
            seen[place] = True
        if not seen.all():
            raise ValueError(
                f"{(~seen).sum()} of {count} {kind} embeddings of {self.benchmark.name} are missing"
            )
        return found

    def _scalars(self, values: dict[str, float]) -> dict[str, Tensor]:
        return {key: torch.tensor(value, device=self.device).float() for key, value in values.items()}
