"""What decides which passages become hard negatives."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.number_options import check_number

Setting = Literal["monolingual", "cross_lingual", "multilingual"]
Aggregate = Literal["max", "mean"]
Sampling = Literal["top", "random"]
Candidates = Literal["split", "corpus"]
_CHOICES: dict[str, tuple[str, ...]] = {
    "setting": get_args(Setting),
    "aggregate": get_args(Aggregate),
    "sampling": get_args(Sampling),
    "candidates": get_args(Candidates),
}


@dataclass(frozen=True)
class MiningSettings:
    """The settings `mine.*` of `conf/mine.yaml`.

    The score of a passage for a question is taken over pairs (language of the query, language of the
    passage). Passages are ranked by it after the exclusions; rank 0 is the best. The rules `max_score`
    (TopK-Abs), `margin` (TopK-MarginPos) and `relative_margin` (TopK-PercPos) are those of NV-Retriever,
    arXiv 2407.15831, whose "shifted by N" is `range_min`.

    Attributes:
        k: negatives of each question, at most.
        setting: the pairs of languages: equal ones, different ones, or all.
        aggregate: the greatest score over these pairs, or their mean.
        range_min: the first rank that is considered.
        range_max: the first rank that no longer is.
        max_score: greatest score of a negative; None sets no bound.
        margin: a negative scores less than the positive minus this; None sets no bound.
        relative_margin: a negative scores less than the positive minus this share of its absolute value:
            0.05 is the paper's 95 % of a positive score; None sets no bound.
        sampling: the best of those left, or drawn evenly from them.
        candidates: passages of the split alone, or of all splits; the latter takes validation and test
            passages for negatives. Passages that are no question's positive are left out.
        keep_existing: put the hard negatives that the data set has already before the mined ones.

    Raises:
        UserError: a value out of range; the message names the setting.
    """

    k: int = 8
    setting: Setting = "multilingual"
    aggregate: Aggregate = "max"
    range_min: int = 0
    range_max: int = 50
    max_score: float | None = None
    margin: float | None = None
    relative_margin: float | None = 0.05
    sampling: Sampling = "top"
    candidates: Candidates = "split"
    keep_existing: bool = False

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise UserError(
                    f"mine.{name}={getattr(self, name)} is none of the choices: {', '.join(choices)}."
                )
        for name, least in (("k", 1), ("range_min", 0), ("range_max", 1)):
            check_number(f"mine.{name}", getattr(self, name), least=least, whole=True)
        if self.range_max - self.range_min < self.k:
            raise UserError(
                f"mine.k={self.k} negatives do not fit between mine.range_min={self.range_min} and "
                f"mine.range_max={self.range_max}: set mine.range_max to {self.range_min + self.k} or more."
            )
        for name in ("max_score", "margin", "relative_margin"):
            value = getattr(self, name)
            if value is None:
                continue
            number = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
            if not number or (name != "max_score" and value < 0):
                least_words = "" if name == "max_score" else " of at least 0"
                raise UserError(f"mine.{name}={value} must be a number{least_words}, or null for no bound.")
        if not isinstance(self.keep_existing, bool):
            raise UserError(f"mine.keep_existing={self.keep_existing} must be true or false.")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "MiningSettings":
        """The settings in a mapping by name; names that are no setting are left aside."""
        return cls(**{field.name: values[field.name] for field in fields(cls) if field.name in values})

    def pairs(self, languages: int) -> list[tuple[int, list[int]]]:
        """The languages of the passages that each language of the query is scored with."""
        if self.setting == "monolingual":
            return [(x, [x]) for x in range(languages)]
        same = self.setting == "multilingual"
        return [(x, [y for y in range(languages) if same or y != x]) for x in range(languages)]
