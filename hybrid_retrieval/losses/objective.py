"""What a model is trained to minimise: InfoNCE and weighted terms, composed from the configuration."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.losses.gather import gather
from hybrid_retrieval.losses.info_nce import InfoNCE, is_number
from hybrid_retrieval.losses.pair_ids import Answers, PairIds
from hybrid_retrieval.losses.terms.registry import EXTRAS, PASSAGE_ROWS, TERMS, ExtraInputs, GlobalInputs


class Objective(nn.Module):
    """InfoNCE plus weighted terms.

        loss = InfoNCE + sum over terms of weight * term

    Terms of weight 0 are not computed and have no parameters, so that without terms value and gradient are
    InfoNCE's to the bit. A term is a function of the global batch: every rank gathers it, with gradients
    whatever `gather_with_grad` says for InfoNCE, and computes the same value, so the gradient averaged over
    ranks equals that of one process with the whole batch. Parameters of terms are trained and saved in
    checkpoints with the objective; the exported encoder does not have them.

    Args:
        info_nce: the contrastive loss.
        weights: of the terms, by name (`terms.registry.TERMS`), at least 0.
        options: options of the terms, by name.

    Attributes:
        training_instances: pairs of the training set, which the variance term uses where its option
            `instances` is null.
        heads: the terms in use that have parameters, by name; empty before `prepare`.
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
        self.heads = nn.ModuleDict()

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
        needed = {field for name in self.weights for field in TERMS[name].needed(self.options.get(name, {}))}
        return tuple(field for field in EXTRAS if field in needed)

    def option(self, term: str, option: str) -> Any:
        """The value of a term's option, given or default."""
        return (TERMS[term].options | self.options.get(term, {}))[option]

    def check_languages(self, languages: int) -> None:
        """Refuse terms that compare languages where there is one.

        Args:
            languages: number of training languages.

        Raises:
            UserError: a term in use needs two.
        """
        for name, weight in self.weights.items():
            if languages < 2 and TERMS[name].across_languages:
                raise UserError(
                    f"loss.terms.{name}={weight} compares languages, but there is one training language. Set "
                    f"loss.terms.{name}=0, or use a sampler and data.languages with several languages."
                )

    def prepare(self, *, dimension: int, languages: int, training_instances: int, seed: int) -> None:
        """Make the parameters of the terms, before the optimiser is made.

        Args:
            dimension: of an embedding.
            languages: number of training languages.
            training_instances: pairs of the training set.
            seed: of the first weights.
        """
        self.training_instances = training_instances
        for name in self.weights:
            if TERMS[name].trained:
                options = self.options.get(name, {})
                self.heads[name] = TERMS[name].source(dimension, languages, seed, **options)

    def head_groups(self) -> list[dict[str, Any]]:
        """Groups of the terms' parameters, with learning rates of their own and no weight decay."""
        return [
            {"params": list(head.parameters()), "lr": head.learning_rate, "weight_decay": 0.0}
            for head in self.heads.values()
        ]

    def forward(
        self, queries: Tensor, passages: Tensor, ids: PairIds, extra: ExtraInputs | None = None
    ) -> Tensor:
        """The value to minimise.

        Args:
            queries: as the following two, those of `InfoNCE.forward`: this rank's share of the batch.
            passages: see there.
            ids: see there.
            extra: has at least the fields named by `needs`.

        Returns:
            Scalar.

        Raises:
            ValueError: a needed field of `extra` is missing, or `prepare` was not called for a term with
                parameters.
        """
        loss: Tensor = self.info_nce(queries, passages, ids)
        if not self.weights:
            return loss
        self.values = {"info_nce": loss.detach()}
        with torch.autocast(queries.device.type, enabled=False):
            inputs = self._gathered(queries, passages, ids, extra or ExtraInputs())
            for name, weight in self.weights.items():
                value = self._term(name, inputs)
                self.values[name] = value.detach()
                loss = loss + weight * value
        return loss

    def _term(self, name: str, inputs: GlobalInputs) -> Tensor:
        term = TERMS[name]
        if term.trained:
            if name not in self.heads:
                raise ValueError(f"{name} has parameters: call prepare() first")
            return term.compute(inputs, self.heads[name])
        options = {key: o for key, o in self.options.get(name, {}).items() if key not in term.text_options}
        if name == "variance" and options.get("instances") is None:
            options["instances"] = self.training_instances
        return term.compute(inputs, **options)

    def _gathered(self, queries: Tensor, passages: Tensor, ids: PairIds, extra: ExtraInputs) -> GlobalInputs:
        passage_ids, query_ids, positive_ids = gather(ids.passage), gather(ids.query), gather(ids.positive)
        real = passage_ids != -1
        found = {}
        for field in self.needs:
            value = getattr(extra, field)
            if value is None:
                raise ValueError(f"{field} is missing from the batch; a term of the loss needs it")
            gathered = gather(value, with_grad=value.is_floating_point())
            found[field] = gathered[real] if field in PASSAGE_ROWS else gathered
        return GlobalInputs(
            gather(queries, with_grad=True),
            gather(passages, with_grad=True)[real],
            gather(passages[: len(queries)], with_grad=True),
            positive_ids,
            passage_ids[real],
            Answers(query_ids, query_ids, positive_ids),
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
        known = TERMS[name].options
        for option, value in (given or {}).items():
            full = f"loss.term_options.{name}.{option}"
            if option not in known:
                raise UserError(f"{full} is unknown; known: {', '.join(known) or 'no options'}.")
            if value is None and known[option] is None:
                continue
            _check_value(full, option, value)
    return {name: dict(given or {}) for name, given in options.items()}


def _check_value(full: str, option: str, value: Any) -> None:
    if option in ("temperature", "learning_rate") and not (is_number(value) and value > 0):
        raise UserError(f"{full}={value} must be a positive number.")
    if option in ("independence", "reversal") and not (is_number(value) and value >= 0):
        raise UserError(f"{full}={value} must be a number of at least 0.")
    if option == "keep" and not (is_number(value) and 0 < value <= 1):
        raise UserError(f"{full}={value} must be a share of the tokens above 0, at most 1.")
    if option == "instances" and not (type(value) is int and value >= 2):
        raise UserError(f"{full}={value} must be a whole number of at least 2, or null.")
    if option == "hidden" and not (type(value) is int and value >= 0):
        raise UserError(f"{full}={value} must be a whole number of at least 0; 0 makes it linear.")


def _check_name(option: str, name: str) -> None:
    if name not in TERMS:
        raise UserError(f"{option} is unknown; known terms: {', '.join(TERMS)}.")
