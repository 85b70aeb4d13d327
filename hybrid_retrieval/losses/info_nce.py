"""InfoNCE over positives, in-batch passages of all ranks and hard negatives."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.gather import gather, rank
from hybrid_retrieval.losses.pair_ids import Answers, PairIds

_MAX_LOGIT_SCALE = 100.0


class InfoNCE(nn.Module):
    r"""Contrastive loss of a dual encoder (van den Oord et al., arXiv 1807.03748, eq. 4).

    For query q with positive p+ and the passages P of the global batch,

        loss = -log( exp(cos(q, p+) / t) / sum over p in {p+} + N(q) of exp(cos(q, p) / t) ),

    where N(q) are all passages of P, positives of other queries and hard negatives alike, but those with the
    passage id of a positive of q: they are answers, or translations or copies of them, not negatives. A query
    with several positives is a pair with each of them; where the global batch has two such pairs, whatever
    their languages and ranks, neither positive is a negative of the other pair, nor is the query, nor a hard
    negative of any pair that is one of these positives. The options, each of them off by default and free to
    be combined:

    - `reverse` = w adds the passage-to-query direction, in which each positive has to find its query among
      the queries of the global batch: loss = (forward + w * backward) / (1 + w). With 1 it is the symmetric
      loss of CLIP (arXiv 2103.00020). Hard negatives have no query, so they are no rows.
    - `within_view` puts the texts of the anchor's own side among its negatives, those of a pair with the
      same query or positive left out (arXiv 2506.09781; SimCLR, arXiv 2002.05709): query-query similarities
      join the denominator of a query, and passage-passage similarities that of a passage, so the latter take
      part only with `reverse` above 0.
    - `margin` = m leaves out negatives that the model itself takes for answers: those x with
      cos(anchor, x) > cos(q, p+) - m, of either direction and view. It is the rule TopK-MarginPos of
      NV-Retriever (arXiv 2407.15831) inside the batch, where GISTEmbed has it (arXiv 2402.16829), with the
      trained model itself as guide. A negative m drops only what scores higher than the positive by more
      than |m|.
    - `dimensions` takes the weighted mean of the loss over embeddings truncated to their first d numbers and
      normalised again, for every d (Matryoshka, arXiv 2205.13147).

    In a distributed run the gradient, averaged over ranks as DDP does, equals that of one process with the
    whole batch when `gather_with_grad` is on; `local_loss` decides only whether a rank computes the rows of
    its own pairs or of all pairs, the same mean with more work. Without `gather_with_grad` embeddings of
    other ranks act as constants.

    Args:
        temperature: t, positive.
        learn_temperature: whether t is learned, as exp of a parameter; t is then never below 1 / 100 (CLIP,
            arXiv 2103.00020).
        local_loss: whether each rank scores only its own pairs.
        gather_with_grad: whether gradients cross ranks.
        reverse: weight of the passage-to-query direction, at least 0.
        within_view: whether texts of the anchor's own side are negatives.
        margin: in units of the cosine; None keeps every negative.
        dimensions: sizes to truncate embeddings to, each at most theirs; None uses whole embeddings alone.
        dimension_weights: weights of the `dimensions`, in their order, not negative; None: equal.

    Raises:
        UserError: an option is out of range; the message names it.
    """

    def __init__(
        self,
        temperature: float = 0.05,
        *,
        learn_temperature: bool = False,
        local_loss: bool = True,
        gather_with_grad: bool = True,
        reverse: float = 0.0,
        within_view: bool = False,
        margin: float | None = None,
        dimensions: Sequence[int] | None = None,
        dimension_weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        if not is_number(temperature) or not temperature > 0:
            raise UserError(f"loss.temperature must be a positive number, not {temperature}; 0.05 is usual.")
        if not is_number(reverse) or not reverse >= 0:
            raise UserError(f"loss.reverse must be a number of at least 0, not {reverse}; 1 is symmetric.")
        if not isinstance(within_view, bool):
            raise UserError(f"loss.within_view={within_view} must be true or false.")
        if margin is not None and not is_number(margin):
            raise UserError(
                f"loss.margin must be a difference of cosines such as 0.05, or null, not {margin}."
            )
        scale = torch.tensor(math.log(1 / temperature))
        if learn_temperature:
            self.log_scale: Tensor = nn.Parameter(scale)
        else:
            self.register_buffer("log_scale", scale, persistent=False)
        self.learn_temperature = learn_temperature
        self.local_loss = local_loss
        self.gather_with_grad = gather_with_grad
        self.reverse = float(reverse)
        self.within_view = within_view
        self.margin = margin
        self.dimensions = _dimensions(dimensions)
        self.dimension_weights = _dimension_weights(dimension_weights, self.dimensions)

    @property
    def temperature(self) -> Tensor:
        """The current temperature, a scalar."""
        return 1 / self._scale()

    def _scale(self) -> Tensor:
        scale = self.log_scale.exp()
        return scale.clamp(max=_MAX_LOGIT_SCALE) if self.learn_temperature else scale

    def forward(self, queries: Tensor, passages: Tensor, ids: PairIds) -> Tensor:
        """Mean loss over queries.

        Args:
            queries: (b, d) float32, L2-normalised; b pairs of this rank.
            passages: (b * (1 + k), d), L2-normalised: first the positives in the order of the queries, then
                the hard negatives.
            ids: of these texts; padding is no negative of any query.

        Returns:
            Scalar.

        Raises:
            UserError: one of `dimensions` is larger than d.
        """
        size = queries.shape[1]
        if max(self.dimensions, default=0) > size:
            raise UserError(
                f"loss.dimensions={list(self.dimensions)}: {max(self.dimensions)} is more than the {size} "
                "numbers of an embedding of this backbone."
            )
        # Under autocast the scores of float32 embeddings would be rounded to 8 bits.
        with torch.autocast(queries.device.type, enabled=False):
            pairs = self._pairs(queries, passages, ids)
            if not self.dimensions:
                return self._both_directions(pairs)
            losses = [self._both_directions(pairs.truncated(dimension)) for dimension in self.dimensions]
            weighted = [weight * loss for weight, loss in zip(self.dimension_weights, losses, strict=True)]
            return torch.stack(weighted).sum() / sum(self.dimension_weights)

    def _pairs(self, queries: Tensor, passages: Tensor, ids: PairIds) -> "_Pairs":
        """The rows that this rank scores, and the texts of all ranks that it scores them against."""
        own = len(queries)
        numbers = torch.arange(own, device=queries.device)
        query_labels, passage_labels = rank() * own + numbers, rank() * len(passages) + numbers
        all_passages = gather(passages, with_grad=self.gather_with_grad)  # (world * b * (1 + k), d)
        all_passage_ids = gather(ids.passage)
        # (world * b,) each
        query_ids, positive_ids = gather(torch.stack([ids.query, ids.positive], dim=1)).unbind(1)
        all_queries, of_queries = queries, ids.positive
        if not self.local_loss or self.reverse or self.within_view:
            all_queries = gather(queries, with_grad=self.gather_with_grad)  # (world * b, d)
            of_queries = positive_ids
        if self.local_loss:
            rows, positives, row_ids = queries, passages[:own], ids.query
        else:
            query_labels, passage_labels = gather(query_labels), gather(passage_labels)
            rows, positives, row_ids = all_queries, all_passages[passage_labels], query_ids
        return _Pairs(
            _Side(rows, all_queries, of_queries, query_labels),
            _Side(positives, all_passages, all_passage_ids, passage_labels),
            Answers(row_ids, query_ids, positive_ids),
        )

    def _both_directions(self, pairs: "_Pairs") -> Tensor:
        forward = self._direction(pairs.queries, pairs.passages, pairs.answers)
        if not self.reverse:
            return forward
        backward = self._direction(pairs.passages, pairs.queries, pairs.answers)
        return (forward + self.reverse * backward) / (1 + self.reverse)

    def _direction(self, anchors: "_Side", candidates: "_Side", answers: Answers) -> Tensor:
        """Mean over the anchors of the cross-entropy of their counterparts."""
        cosines, excluded = candidates.scored_by(anchors.rows, answers)  # (rows, candidates)
        if self.within_view:
            views = [(cosines, excluded), anchors.scored_by(anchors.rows, answers)]
            cosines, excluded = (torch.cat(parts, dim=1) for parts in zip(*views, strict=True))
        labels = candidates.labels
        if self.margin is not None:
            scores = cosines.detach()
            excluded = excluded | (scores > scores.gather(1, labels[:, None]) - self.margin)
        excluded[torch.arange(len(labels), device=labels.device), labels] = False
        logits = cosines * self._scale()
        return functional.cross_entropy(logits.masked_fill(excluded, -torch.inf), labels)


@dataclass(frozen=True)
class _Side:
    """Queries or passages: of the rows a rank scores, and of the global batch.

    Attributes:
        rows: (rows, d), the embedding of each row's text of this side.
        texts: (n, d), all of the global batch.
        ids: (n,), their passage ids, of queries those of the positives; -1 is padding.
        labels: (rows,), where each row stands in `texts`.
    """

    rows: Tensor
    texts: Tensor
    ids: Tensor
    labels: Tensor

    def scored_by(self, anchors: Tensor, answers: Answers) -> tuple[Tensor, Tensor]:
        """Cosines of anchors and all texts, and which texts are no negatives; both (anchors, n)."""
        return anchors @ self.texts.T, answers.among(self.ids) | (self.ids == -1)

    def map(self, function: Callable[[Tensor], Tensor]) -> "_Side":
        return _Side(function(self.rows), function(self.texts), self.ids, self.labels)


@dataclass(frozen=True)
class _Pairs:
    """Both sides, and the passages that answer the query of each row."""

    queries: _Side
    passages: _Side
    answers: Answers

    def truncated(self, dimension: int) -> "_Pairs":
        """Embeddings cut to their first numbers and normalised again."""

        def cut(embeddings: Tensor) -> Tensor:
            if dimension == embeddings.shape[1]:
                return embeddings
            return functional.normalize(embeddings[:, :dimension], dim=1)

        return _Pairs(self.queries.map(cut), self.passages.map(cut), self.answers)


def is_number(value: object) -> bool:
    """Whether a value is a finite number, not a switch."""
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _dimensions(asked: Sequence[int] | None) -> tuple[int, ...]:
    if asked is None:
        return ()
    found = () if isinstance(asked, str | int | float) else tuple(asked)
    whole = all(isinstance(size, int) and not isinstance(size, bool) and size > 0 for size in found)
    if not found or not whole or len(set(found)) != len(found):
        raise UserError(
            f"loss.dimensions={asked} must be different whole numbers above 0 such as [384,128], or null."
        )
    return found


def _dimension_weights(asked: Sequence[float] | None, dimensions: tuple[int, ...]) -> tuple[float, ...]:
    if asked is None:
        return (1.0,) * len(dimensions)
    found = () if isinstance(asked, str | int | float) else tuple(asked)
    fits = len(found) == len(dimensions) and all(is_number(w) and w >= 0 for w in found)
    if not fits or not sum(found) > 0:
        raise UserError(
            f"loss.dimension_weights={asked} must be one number of at least 0, not all 0, for each of "
            f"loss.dimensions={list(dimensions)}, or null."
        )
    return tuple(float(weight) for weight in found)
