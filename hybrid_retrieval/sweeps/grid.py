"""The grid of a sweep: every combination of the values that its overrides name."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hydra.core.config_loader import ConfigLoader
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override

from hybrid_retrieval.errors import UserError


@dataclass(frozen=True)
class Grid:
    """Overrides with one or several values each.

    Attributes:
        values: of each name, as Hydra writes them (`sampler`, `sampler.alpha`, `+x`); the order is that of
            the sweep file, then of the command line.
        varying: names that the sweep file has or that have several values: what tells jobs apart.
    """

    values: Mapping[str, Sequence[str]]
    varying: tuple[str, ...]

    @classmethod
    def parse(cls, params: Mapping[str, str], arguments: Sequence[str], loader: ConfigLoader) -> "Grid":
        """The grid of a sweep file and a command line, which wins where both name a setting.

        Args:
            params: of `hydra.sweeper.params`.
            arguments: overrides of the command line, Hydra's own excluded.
            loader: knows the choices of a group, for `glob(*)`.

        Raises:
            UserError: an interval, which has no end of values.
            HydraException: an override that cannot be read.
        """
        parser = OverridesParser.create(config_loader=loader)
        values: dict[str, list[str]] = {}
        varying: list[str] = []
        own = [f"{name}={value}" for name, value in params.items()]
        for number, override in enumerate(parser.parse_overrides([*own, *arguments])):
            name = override.get_key_element()
            plain = name.lstrip("+")
            for same in [other for other in values if other.lstrip("+") == plain]:
                del values[same]
            values[name] = _values(override)
            if (number < len(own) or len(values[name]) > 1) and name not in varying:
                varying.append(name)
        varying = [name for name in values if name.lstrip("+") in {other.lstrip("+") for other in varying}]
        order = [*(n for n in params if n in values), *(n for n in values if n not in params)]
        return cls({name: values[name] for name in order}, tuple(n for n in order if n in varying))

    def fixed(self) -> list[str]:
        """The overrides that all jobs share."""
        return [f"{name}={values[0]}" for name, values in self.values.items() if name not in self.varying]

    def varied(self, name: str, values: Sequence[str]) -> "Grid":
        """This grid with another name that varies; it varies slowest."""
        return Grid({name: list(values), **self.values}, (name, *self.varying))

    def __iter__(self) -> Iterator[list[str]]:
        """The overrides of each job; the last name varies fastest."""
        for chosen in itertools.product(*self.values.values()):
            yield [f"{name}={value}" for name, value in zip(self.values, chosen, strict=True)]


def _values(override: Override) -> list[str]:
    if not override.is_sweep_override():
        return [override.get_value_element_as_str()]
    if not override.is_discrete_sweep():
        raise UserError(
            f"{override.input_line}: a grid needs single values, as in {override.get_key_element()}=1,2,3 or "
            f"{override.get_key_element()}=range(1,4)."
        )
    return list(override.sweep_string_iterator())
