"""How a search proceeds: `hydra.sweeper.search`, but for its space and objectives."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.number_options import check_number

SAMPLERS = ("tpe", "nsgaii", "random")
OTHERS = ("space", "objectives")


@dataclass(frozen=True)
class SearchSettings:
    """Settings of a search.

    Attributes:
        trials: number of them, failed ones included. More than before goes on with the search.
        n_jobs: trials that are drawn, run and told together; more than one only helps with launcher=slurm.
        sampler: tpe (for one objective or several), nsgaii (for several and hundreds of trials) or random.
        startup: trials that tpe draws at random before it learns; the size of a generation of nsgaii.
        seed: of the sampler, not of the runs.
    """

    trials: int = 30
    n_jobs: int = 1
    sampler: str = "tpe"
    startup: int = 10
    seed: int = 1

    @classmethod
    def parse(cls, given: Mapping[str, Any]) -> "SearchSettings":
        """From the configuration.

        Args:
            given: `hydra.sweeper.search`.

        Raises:
            UserError: an unknown setting, or a value out of range.
        """
        names = [one.name for one in fields(cls)]
        if unknown := [name for name in given if name not in (*names, *OTHERS)]:
            raise UserError(
                f"hydra.sweeper.search.{unknown[0]} is unknown; known: {', '.join((*OTHERS, *names))}."
            )
        found = cls(**{name: value for name, value in given.items() if name in names})
        for name, least in {"trials": 1, "n_jobs": 1, "startup": 2, "seed": 0}.items():
            check_number(f"hydra.sweeper.search.{name}", getattr(found, name), least=least, whole=True)
        if found.sampler not in SAMPLERS:
            raise UserError(
                f"hydra.sweeper.search.sampler={found.sampler} is unknown; known: {', '.join(SAMPLERS)}."
            )
        return found
