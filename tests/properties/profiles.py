"""How many examples a property is tried on: few and always the same ones, or many and others each time."""

from typing import Any

import pytest
from hypothesis import HealthCheck, settings

QUICK, THOROUGH = 25, 1000

EXAMPLES = pytest.mark.parametrize(
    "examples", [QUICK, pytest.param(THOROUGH, marks=pytest.mark.slow, id="thorough")]
)


def on(examples: int) -> Any:
    """The settings of a property."""
    quick = examples <= QUICK
    return settings(
        max_examples=examples,
        deadline=None,
        derandomize=quick,
        database=None,
        print_blob=True,
        suppress_health_check=list(HealthCheck),
    )
