"""The five batch strategies of arXiv 2408.10536 and LAReQA (arXiv 2004.05484)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from hybrid_retrieval.errors import UserError


class BatchKind(StrEnum):
    """How the languages of one global batch relate."""

    MONOLINGUAL = "monolingual"
    """Every query and every passage in one language."""
    MIXED = "mixed"
    """Query and passage of a pair share a language; pairs of many languages share the batch."""
    CROSS_LINGUAL = "cross_lingual"
    """Query and passage of a pair are in two different languages, drawn per pair."""


class Schedule(Protocol):
    """A number that may change with the optimiser step."""

    def __call__(self, step: int) -> float:
        """Value at `step`, counted from 0."""
        ...


@dataclass(frozen=True)
class Linear:
    """Linear from `start` at step 0 to `end` at step `steps`, constant after it."""

    start: float
    end: float
    steps: int

    def __call__(self, step: int) -> float:
        """Value at `step`."""
        return self.start + (self.end - self.start) * min(1.0, step / max(1, self.steps))


class Strategy(Protocol):
    """Which kind each global batch has, and which languages take part."""

    name: ClassVar[str]

    def kind(self, step: int, u: float) -> BatchKind:
        """Kind of the batch at `step`, given a uniform random number `u` in (0, 1)."""
        ...

    def kinds(self) -> tuple[BatchKind, ...]:
        """Every kind that can occur."""
        ...

    def restrict(self, languages: Sequence[str]) -> tuple[str, ...]:
        """The training languages that take part."""
        ...


@dataclass(frozen=True)
class _SingleKind:
    name: ClassVar[str]
    batch_kind: ClassVar[BatchKind]

    def kind(self, step: int, u: float) -> BatchKind:
        """Kind of the batch at `step`."""
        return self.batch_kind

    def kinds(self) -> tuple[BatchKind, ...]:
        """Every kind that can occur."""
        return (self.batch_kind,)

    def restrict(self, languages: Sequence[str]) -> tuple[str, ...]:
        """All training languages."""
        return tuple(languages)


@dataclass(frozen=True)
class EnEnStrategy(_SingleKind):
    """`en_en`: one language only, LAReQA's lower baseline."""

    name: ClassVar[str] = "en_en"
    batch_kind: ClassVar[BatchKind] = BatchKind.MONOLINGUAL
    language: str = "en"

    def restrict(self, languages: Sequence[str]) -> tuple[str, ...]:
        """Only `language`.

        Raises:
            UserError: the data lacks it.
        """
        if self.language not in languages:
            raise UserError(
                f"sampler=en_en trains on '{self.language}', which is not among the training languages "
                f"({', '.join(languages)}). Add it to data.languages, or set sampler.language."
            )
        return (self.language,)


@dataclass(frozen=True)
class XXStrategy(_SingleKind):
    """`x_x`: monolingual pairs, languages mixed inside one batch."""

    name: ClassVar[str] = "x_x"
    batch_kind: ClassVar[BatchKind] = BatchKind.MIXED


@dataclass(frozen=True)
class XXMonoStrategy(_SingleKind):
    """`x_x_mono`: each batch in one language (printed "X-X" in the paper's tables)."""

    name: ClassVar[str] = "x_x_mono"
    batch_kind: ClassVar[BatchKind] = BatchKind.MONOLINGUAL


@dataclass(frozen=True)
class XYStrategy(_SingleKind):
    """`x_y`: query and passage of every pair in two different languages."""

    name: ClassVar[str] = "x_y"
    batch_kind: ClassVar[BatchKind] = BatchKind.CROSS_LINGUAL


@dataclass(frozen=True)
class HybridStrategy:
    """`hybrid`: a batch is x_x_mono with probability alpha, else x_y (the paper's method).

    Args:
        alpha: probability of a monolingual batch, or a `Schedule` of it over steps.
    """

    name: ClassVar[str] = "hybrid"
    alpha: float | Schedule = 0.5

    def __post_init__(self) -> None:
        if isinstance(self.alpha, Linear):
            _check_alpha(self.alpha.start)
            _check_alpha(self.alpha.end)
        elif not callable(self.alpha):
            _check_alpha(self.alpha)

    def alpha_at(self, step: int) -> float:
        """Probability of a monolingual batch at `step`."""
        return _check_alpha(self.alpha(step)) if callable(self.alpha) else self.alpha

    def kind(self, step: int, u: float) -> BatchKind:
        """Kind of the batch at `step`."""
        return BatchKind.MONOLINGUAL if u < self.alpha_at(step) else BatchKind.CROSS_LINGUAL

    def kinds(self) -> tuple[BatchKind, ...]:
        """Both kinds, or the one that remains when a constant alpha is 0 or 1."""
        if self.alpha == 1:
            return (BatchKind.MONOLINGUAL,)
        if self.alpha == 0:
            return (BatchKind.CROSS_LINGUAL,)
        return (BatchKind.MONOLINGUAL, BatchKind.CROSS_LINGUAL)

    def restrict(self, languages: Sequence[str]) -> tuple[str, ...]:
        """All training languages."""
        return tuple(languages)


def _check_alpha(alpha: object) -> float:
    if isinstance(alpha, bool) or not isinstance(alpha, int | float) or not 0 <= alpha <= 1:
        raise UserError(
            f"sampler.alpha is the probability of a monolingual batch and must lie in [0, 1], not {alpha!r}. "
            "Set for example sampler.alpha=0.5."
        )
    return float(alpha)


STRATEGIES: dict[str, Callable[..., Strategy]] = {
    "en_en": EnEnStrategy,
    "x_x": XXStrategy,
    "x_x_mono": XXMonoStrategy,
    "x_y": XYStrategy,
    "hybrid": HybridStrategy,
}


def make_strategy(name: str, **options: Any) -> Strategy:
    """The strategy of a `sampler` configuration.

    Args:
        name: one of `STRATEGIES`.
        options: the strategy's own arguments; `alpha` may be a mapping of `Linear`'s arguments.

    Raises:
        UserError: unknown name or option, or an option out of range.
    """
    if name not in STRATEGIES:
        raise UserError(f"sampler.name={name} is unknown; known: {', '.join(STRATEGIES)}.")
    if isinstance(options.get("alpha"), Mapping):
        try:
            options["alpha"] = Linear(**options["alpha"])
        except TypeError as error:
            raise UserError(
                f"sampler.alpha={options['alpha']}: a schedule needs start, end and steps, "
                "for example sampler.alpha={start: 1.0, end: 0.25, steps: 1000}."
            ) from error
    try:
        return STRATEGIES[name](**options)
    except TypeError as error:
        raise UserError(f"sampler={name} does not take these options: {', '.join(options)}.") from error
