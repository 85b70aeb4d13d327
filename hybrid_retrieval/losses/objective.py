"""What a model is trained to minimise: InfoNCE and weighted terms, composed from the configuration."""

import inspect
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.gather import gather
from hybrid_retrieval.losses.info_nce import InfoNCE, is_number
from hybrid_retrieval.losses.terms.alignment import alignment
from hybrid_retrieval.losses.terms.distillation import distillation
from hybrid_retrieval.losses.terms.language_centring import language_centring
from hybrid_retrieval.losses.terms.score_agreement import score_agreement
from hybrid_retrieval.losses.terms.variance import variance


@dataclass(frozen=True)
class ExtraInputs:
    """What terms may need of a rank's batch beyond InfoNCE's inputs; None where it is not at hand.

    Attributes:
        query_languages: (b,) int64.
        passage_languages: (b * (1 + k),) int64.
        teacher_queries: (b, t) float32, L2-normalised embeddings of the same texts by a teacher.
        teacher_passages: (b * (1 + k), t).
        parallel_queries: (b, d) float32, L2-normalised; each query in another language, or the query itself
            where there is none.
        parallel_passages: (b, d), each positive in another language, or itself.
    """

    query_languages: Tensor | None = None
    passage_languages: Tensor | None = None
    teacher_queries: Tensor | None = None
    teacher_passages: Tensor | None = None
    parallel_queries: Tensor | None = None
    parallel_passages: Tensor | None = None


@dataclass(frozen=True)
class _Inputs:
    """The global batch, without padding; `extra` as in `ExtraInputs`, of all ranks."""

    queries: Tensor
    passages: Tensor
    positives: Tensor
    positive_ids: Tensor
    passage_ids: Tensor
    extra: Mapping[str, Tensor]


@dataclass(frozen=True)
class _Term:
    """One term: the inputs it needs, the function that has its options, and how that is called."""

    needs: tuple[str, ...]
    function: Callable[..., Tensor]
    compute: Callable[..., Tensor]


def _language_centring(x: _Inputs) -> Tensor:
    queries = language_centring(x.queries, x.extra["query_languages"])
    return (queries + language_centring(x.passages, x.extra["passage_languages"])) / 2


TERMS: Mapping[str, _Term] = {
    "variance": _Term(
        (),
        variance,
        lambda x, **options: variance(x.queries, x.passages, x.positive_ids, x.passage_ids, **options),
    ),
    "language_centring": _Term(
        ("query_languages", "passage_languages"), language_centring, _language_centring
    ),
    "distillation": _Term(
        ("teacher_queries", "teacher_passages"),
        distillation,
        lambda x, **options: distillation(
            x.queries, x.passages, x.extra["teacher_queries"], x.extra["teacher_passages"], **options
        ),
    ),
    "query_alignment": _Term(
        ("parallel_queries",),
        alignment,
        lambda x, **options: alignment(x.queries, x.extra["parallel_queries"], x.positive_ids, **options),
    ),
    "passage_alignment": _Term(
        ("parallel_passages",),
        alignment,
        lambda x, **options: alignment(x.positives, x.extra["parallel_passages"], x.positive_ids, **options),
    ),
    "score_agreement": _Term(
        ("parallel_queries",),
        score_agreement,
        lambda x, **options: score_agreement(x.queries, x.extra["parallel_queries"], x.passages, **options),
    ),
}
_EXTRAS = tuple(ExtraInputs.__dataclass_fields__)
_PASSAGE_ROWS = ("passage_languages", "teacher_passages")


class Objective(nn.Module):
    """InfoNCE plus weighted terms; takes the place of `InfoNCE` in a training step.

        loss = InfoNCE + sum over terms of weight * term

    Terms of weight 0 are not computed, so that without terms value and gradient are InfoNCE's to the bit. A
    term is a function of the global batch: every rank gathers it, with gradients whatever `gather_with_grad`
    says for InfoNCE, and computes the same value, so the gradient averaged over ranks equals that of one
    process with the whole batch.

    Args:
        info_nce: the contrastive loss.
        weights: of the terms, by name (`TERMS`), at least 0.
        options: keyword arguments of the terms, by name.

    Attributes:
        training_instances: pairs of the training set, which the variance term uses where its option
            `instances` is null; set it when the data is known.
        values: of the last forward pass by name, before weighting, detached; empty without terms.

    Raises:
        UserError: an unknown term or option, or a value out of range; the message names it.
    """

    def __init__(
        self,
        info_nce: InfoNCE,
        weights: Mapping[str, float] | None = None,
        options: Mapping[str, Mapping[str, Any] | None] | None = None,
    ) -> None:
        super().__init__()
        self.info_nce = info_nce
        self.training_instances: int | None = None
        self.values: dict[str, Tensor] = {}
        self.weights = {name: weight for name, weight in _checked_weights(weights or {}).items() if weight}
        self.options = _checked_options(options or {})

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "Objective":
        """From the group `loss`: `terms` are weights, `term_options` options, the rest is InfoNCE's."""
        arguments = dict(config)
        weights, options = arguments.pop("terms", None), arguments.pop("term_options", None)
        return cls(InfoNCE(**arguments), weights, options)

    @property
    def temperature(self) -> Tensor:
        """InfoNCE's current temperature, a scalar."""
        return self.info_nce.temperature

    @property
    def learn_temperature(self) -> bool:
        """Whether InfoNCE's temperature is learned."""
        return self.info_nce.learn_temperature

    @property
    def needs(self) -> tuple[str, ...]:
        """The fields of `ExtraInputs` that the terms in use need."""
        needed = {field for name in self.weights for field in TERMS[name].needs}
        return tuple(field for field in _EXTRAS if field in needed)

    def check_inputs(self, available: Collection[str]) -> None:
        """Refuse terms whose inputs training cannot supply.

        Args:
            available: fields of `ExtraInputs` that batches will have.

        Raises:
            UserError: a term in use needs another one.
        """
        for name, weight in self.weights.items():
            missing = [field for field in TERMS[name].needs if field not in available]
            if missing:
                raise UserError(
                    f"loss.terms.{name}={weight} needs {' and '.join(missing)}, which this training does not "
                    f"supply. Set loss.terms.{name}=0."
                )

    def forward(
        self,
        queries: Tensor,
        passages: Tensor,
        positive_ids: Tensor,
        passage_ids: Tensor,
        extra: ExtraInputs | None = None,
    ) -> Tensor:
        """The value to minimise.

        Args:
            queries: as the following three, those of `InfoNCE.forward`: this rank's share of the batch.
            passages: see there.
            positive_ids: see there.
            passage_ids: see there.
            extra: has at least the fields named by `needs`.

        Returns:
            Scalar.

        Raises:
            ValueError: a needed field of `extra` is missing.
        """
        loss: Tensor = self.info_nce(queries, passages, positive_ids, passage_ids)
        if not self.weights:
            return loss
        self.values = {"info_nce": loss.detach()}
        with torch.autocast(queries.device.type, enabled=False):
            inputs = self._gathered(queries, passages, positive_ids, passage_ids, extra or ExtraInputs())
            for name, weight in self.weights.items():
                value = TERMS[name].compute(inputs, **self._term_options(name))
                self.values[name] = value.detach()
                loss = loss + weight * value
        return loss

    def _term_options(self, name: str) -> dict[str, Any]:
        options = dict(self.options.get(name, {}))
        if name == "variance" and options.get("instances") is None:
            options["instances"] = self.training_instances
        return options

    def _gathered(
        self,
        queries: Tensor,
        passages: Tensor,
        positive_ids: Tensor,
        passage_ids: Tensor,
        extra: ExtraInputs,
    ) -> _Inputs:
        ids = gather(passage_ids)
        real = ids != -1
        found = {}
        for field in self.needs:
            value = getattr(extra, field)
            if value is None:
                raise ValueError(f"{field} is missing from the batch; a term of the loss needs it")
            gathered = gather(value, with_grad=value.is_floating_point())
            found[field] = gathered[real] if field in _PASSAGE_ROWS else gathered
        return _Inputs(
            gather(queries, with_grad=True),
            gather(passages, with_grad=True)[real],
            gather(passages[: len(queries)], with_grad=True),
            gather(positive_ids),
            ids[real],
            found,
        )


def _checked_weights(weights: Mapping[str, float]) -> dict[str, float]:
    for name, weight in weights.items():
        _check_name(f"loss.terms.{name}", name)
        if not is_number(weight) or weight < 0:
            raise UserError(f"loss.terms.{name}={weight} must be a number of at least 0, the term's weight.")
    return dict(weights)


def _checked_options(options: Mapping[str, Mapping[str, Any] | None]) -> dict[str, dict[str, Any]]:
    for name, given in options.items():
        _check_name(f"loss.term_options.{name}", name)
        parameters = inspect.signature(TERMS[name].function).parameters
        known = {key: p.default for key, p in parameters.items() if p.kind is p.KEYWORD_ONLY}
        for option, value in (given or {}).items():
            full = f"loss.term_options.{name}.{option}"
            if option not in known:
                raise UserError(f"{full} is unknown; known: {', '.join(known) or 'no options'}.")
            if value is None and known[option] is None:
                continue
            if option == "temperature" and not (is_number(value) and value > 0):
                raise UserError(f"{full}={value} must be a positive number; 0.05 is usual.")
            if option == "instances" and not (type(value) is int and value >= 2):
                raise UserError(f"{full}={value} must be a whole number of at least 2, or null.")
    return {name: dict(given or {}) for name, given in options.items()}


def _check_name(option: str, name: str) -> None:
    if name not in TERMS:
        raise UserError(f"{option} is unknown; known terms: {', '.join(TERMS)}.")
