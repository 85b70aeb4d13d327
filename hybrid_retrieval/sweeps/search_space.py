"""The space of a search: the settings that vary, and between which values."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import IntervalSweep, Override, RangeSweep

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.sweeps.job import quoted

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

Value = float | int | str
_KEYS = ("low", "high", "log", "step", "whole")
_FORMS = (
    "{low: 0, high: 1}, {low: 1e-6, high: 1e-4, log: true}, {low: 8, high: 64, step: 8}, a list of choices, "
    "or null to leave it out"
)


@dataclass(frozen=True)
class Interval:
    """A number between two bounds, both included.

    Attributes:
        name: of the setting, as in an override.
        low: smallest value.
        high: largest value.
        log: whether small values are as likely as large ones on a logarithmic scale.
        step: distance of neighbouring values; None: any.
        whole: whether values are whole numbers.
    """

    name: str
    low: float
    high: float
    log: bool = False
    step: float | None = None
    whole: bool = False

    def corners(self) -> list[Value]:
        """Values whose check vouches for the ones between."""
        kind = int if self.whole else float
        return list(dict.fromkeys((kind(self.low), kind(self.high))))

    def distribution(self) -> "BaseDistribution":
        """As Optuna has it."""
        from optuna.distributions import FloatDistribution, IntDistribution  # noqa: PLC0415 (an extra)

        if self.whole:
            return IntDistribution(int(self.low), int(self.high), log=self.log, step=int(self.step or 1))
        return FloatDistribution(float(self.low), float(self.high), log=self.log, step=self.step)

    def __str__(self) -> str:
        kinds = ["whole numbers"] if self.whole else []
        kinds += ["logarithmic"] if self.log else []
        kinds += [f"steps of {self.step:g}"] if self.step is not None else []
        return f"{self.low:g} to {self.high:g}" + (f" ({', '.join(kinds)})" if kinds else "")


@dataclass(frozen=True)
class Choice:
    """One of several values, in no order.

    Attributes:
        name: of the setting or group, as in an override.
        values: as they stand in an override.
    """

    name: str
    values: tuple[str, ...]

    def corners(self) -> list[Value]:
        """All of them."""
        return list(self.values)

    def distribution(self) -> "BaseDistribution":
        """As Optuna has it."""
        from optuna.distributions import CategoricalDistribution  # noqa: PLC0415 (an extra)

        return CategoricalDistribution(self.values)

    def __str__(self) -> str:
        return " | ".join(self.values)


Dimension = Interval | Choice


@dataclass(frozen=True)
class SearchSpace:
    """What a search varies, and what it does not.

    Attributes:
        dimensions: the settings that vary.
        fixed: overrides that all trials share.
    """

    dimensions: tuple[Dimension, ...]
    fixed: tuple[str, ...]

    def overrides(self, values: Mapping[str, Value]) -> list[str]:
        """Of a trial with these values."""
        return [*self.fixed, *(f"{name}={as_text(value)}" for name, value in values.items())]

    def corners(self) -> list[dict[str, Value]]:
        """Trials in which every bound and every choice occurs, the other settings at their first value."""
        first = {one.name: one.corners()[0] for one in self.dimensions}
        others = [first | {one.name: value} for one in self.dimensions for value in one.corners()[1:]]
        return [first, *others]


def parse_space(
    entries: Mapping[str, Any],
    params: Mapping[str, str],
    arguments: Sequence[str],
    loader: ConfigLoader,
    setting: Callable[[tuple[str, ...], str], Any],
) -> SearchSpace:
    """The space of a sweep file and a command line, which wins where both name a setting.

    On the command line a setting varies as in any sweep of Hydra's: `interval(1e-6,1e-4)`,
    `tag(log,interval(1e-6,1e-4))`, `range(8,65,8)`, `choice(a,b)` or `a,b`; with one value it is fixed.

    Args:
        entries: `hydra.sweeper.search.space`.
        params: further overrides of the sweep file.
        arguments: overrides of the command line, Hydra's own excluded.
        loader: knows the choices of a group, for `glob(*)`.
        setting: the value of a setting where only the given overrides count, None where it has none.

    Raises:
        UserError: nothing varies, the seed does, or bounds that do not fit.
        HydraException: an override that cannot be read.
    """
    found: dict[str, Mapping[str, Any] | Sequence[Any]] = {}
    for name, entry in entries.items():
        if entry is not None:
            found[str(name)] = _entry(str(name), entry)
    fixed: dict[str, str] = {}
    parser = OverridesParser.create(config_loader=loader)
    for override in parser.parse_overrides([*(f"{n}={v}" for n, v in params.items()), *arguments]):
        name = override.get_key_element()
        for same in [other for other in (*found, *fixed) if other.lstrip("+") == name.lstrip("+")]:
            found.pop(same, None)
            fixed.pop(same, None)
        if override.is_sweep_override():
            found[name] = _of_override(override)
        else:
            fixed[name] = f"{name}={override.get_value_element_as_str()}"
    overrides = tuple(fixed.values())
    if "seed" in {name.lstrip("+") for name in found}:
        raise UserError(
            "seed: a search over seeds finds the luckiest one. Set one seed=..., and repeat the best trial "
            "with several afterwards."
        )
    if not found:
        raise UserError(f"sweep=search: nothing varies. hydra.sweeper.search.space takes name: {_FORMS}.")
    return SearchSpace(tuple(_dimension(n, e, setting(overrides, n)) for n, e in found.items()), overrides)


def as_text(value: Any) -> str:
    """A value as it stands in an override; text is taken as it is, inside of lists and mappings quoted."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, Mapping):
        return "{" + ",".join(f"{key}:{_inside(one)}" for key, one in value.items()) + "}"
    if isinstance(value, Sequence) and not isinstance(value, str):
        return "[" + ",".join(map(_inside, value)) + "]"
    return value if isinstance(value, str) else repr(value)


def _inside(value: Any) -> str:
    return quoted(value) if isinstance(value, str) else as_text(value)


def _entry(name: str, entry: Any) -> Mapping[str, Any] | Sequence[Any]:
    is_list = isinstance(entry, Sequence) and not isinstance(entry, str)
    if is_list or (isinstance(entry, Mapping) and {"low", "high"} <= set(entry) <= set(_KEYS)):
        return entry  # type: ignore[no-any-return]
    raise UserError(f"search space: {name}: {entry} is none of {_FORMS}.")


def _of_override(override: Override) -> Mapping[str, Any] | Sequence[Any]:
    """An override of several values in the form of the sweep file."""
    sweep = override.value()
    if isinstance(sweep, IntervalSweep):
        return {"low": sweep.start, "high": sweep.end, "log": "log" in sweep.tags}
    if isinstance(sweep, RangeSweep) and len(values := list(sweep.range())) > 1:
        return {"low": min(values), "high": max(values), "step": abs(sweep.step)}
    return list(override.sweep_string_iterator())


def _dimension(name: str, entry: Mapping[str, Any] | Sequence[Any], now: Any) -> Dimension:
    """Check an entry.

    Args:
        name: of the setting.
        entry: of the space.
        now: the value that the setting has otherwise; it says whether whole numbers are asked for.
    """
    if not isinstance(entry, Mapping):
        values = tuple(dict.fromkeys(map(as_text, entry)))
        if not values:
            raise UserError(f"search space: {name}: [] has no choices.")
        return Choice(name, values)
    numbers: dict[str, Any] = {
        key: entry[key] for key in ("low", "high", "step") if entry.get(key) is not None
    }
    for key, value in numbers.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UserError(f"search space: {name}: {key}={value} must be a number.")
    if not {"low", "high"} <= set(numbers):
        raise UserError(f"search space: {name}: low and high must be numbers.")
    whole, log = entry.get("whole"), entry.get("log", False)
    if not isinstance(log, bool) or not isinstance(whole, bool | None):
        raise UserError(f"search space: {name}: log and whole must be true or false.")
    all_whole = all(float(value).is_integer() for value in numbers.values())
    if whole is None:
        whole = isinstance(now, int) and not isinstance(now, bool)
        if now is None and all_whole:
            raise UserError(
                f"search space: {name} is null otherwise, so say whether it is a whole number: add "
                "whole: true or whole: false."
            )
    low, high, step = numbers["low"], numbers["high"], numbers.get("step")
    if whole and not all_whole:
        raise UserError(f"search space: {name} is a whole number: low, high and step must be, too.")
    if not low < high:
        raise UserError(f"search space: {name}: low={low:g} must be below high={high:g}.")
    if log and (low <= 0 or step is not None):
        raise UserError(f"search space: {name}: log: true needs low above 0, and no step.")
    if step is not None and not 0 < step <= high - low:
        raise UserError(f"search space: {name}: step={step:g} must be above 0 and at most high - low.")
    return Interval(name, low, high, log, step, whole)
