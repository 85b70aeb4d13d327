"""InfoNCE over positives, in-batch passages of all ranks and hard negatives."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.gather import gather, rank

_MAX_LOGIT_SCALE = 100.0


class InfoNCE(nn.Module):
    r"""Contrastive loss of a dual encoder (van den Oord et al., arXiv 1807.03748, eq. 4).

    For query q with positive p+ and the passages P of the global batch,

        loss = -log( exp(cos(q, p+) / t) / sum over p in {p+} + N(q) of exp(cos(q, p) / t) ),

    where N(q) are all passages of P, positives of other queries and hard negatives alike, but those with the
    passage id of p+: they are translations or copies of the answer, not negatives.

    In a distributed run the gradient, averaged over ranks as DDP does, equals that of one process with the
    whole batch when `gather_with_grad` is on; `local_loss` decides only whether a rank computes the rows of
    its own queries or of all queries, the same mean with more work. Without `gather_with_grad` passages of
    other ranks act as constants.

    Args:
        temperature: t, positive.
        learn_temperature: whether t is learned, as exp of a parameter; t is then never below 1 / 100 (CLIP,
            arXiv 2103.00020).
        local_loss: whether each rank scores only its own queries.
        gather_with_grad: whether gradients cross ranks.
    """

    def __init__(
        self,
        temperature: float = 0.05,
        *,
        learn_temperature: bool = False,
        local_loss: bool = True,
        gather_with_grad: bool = True,
    ) -> None:
        super().__init__()
        if isinstance(temperature, bool) or not isinstance(temperature, int | float) or not temperature > 0:
            raise UserError(f"loss.temperature must be a positive number, not {temperature}; 0.05 is usual.")
        scale = torch.tensor(math.log(1 / temperature))
        if learn_temperature:
            self.log_scale: Tensor = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale, persistent=False)
        self.learn_temperature = learn_temperature
        self.local_loss = local_loss
        self.gather_with_grad = gather_with_grad

    @property
    def temperature(self) -> Tensor:
        """The current temperature, a scalar."""
        return 1 / self._scale()

    def _scale(self) -> Tensor:
        scale = self.log_scale.exp()
        return scale.clamp(max=_MAX_LOGIT_SCALE) if self.learn_temperature else scale

    def forward(self, queries: Tensor, passages: Tensor, positive_ids: Tensor, passage_ids: Tensor) -> Tensor:
        """Mean loss over queries.

        Args:
            queries: (b, d) float32, L2-normalised; b pairs of this rank.
            passages: (b * (1 + k), d), L2-normalised: first the positives in the order of the queries, then
                the hard negatives.
            positive_ids: (b,) int64, passage id of each query's positive, the same in every language.
            passage_ids: (b * (1 + k),) int64; -1 marks padding, which is no negative of any query.

        Returns:
            Scalar.
        """
        own, local_passages = len(queries), len(passages)
        passages = gather(passages, with_grad=self.gather_with_grad)  # (world * b * (1 + k), d)
        passage_ids = gather(passage_ids)
        start = rank() * local_passages
        labels = start + torch.arange(own, device=queries.device)
        if not self.local_loss:
            queries = gather(queries, with_grad=self.gather_with_grad)  # (world * b, d)
            positive_ids = gather(positive_ids)
            labels = gather(labels)
        logits = (queries @ passages.T) * self._scale()  # (rows, world * b * (1 + k))
        excluded = (passage_ids == positive_ids[:, None]) | (passage_ids == -1)
        excluded[torch.arange(len(labels), device=labels.device), labels] = False
        return functional.cross_entropy(logits.masked_fill(excluded, -torch.inf), labels)
