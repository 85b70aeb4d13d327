"""What is a number of the wanted kind, and what the message says where it is not."""

import math
import re

import pytest

from hybrid_retrieval.errors import UserError
from hybrid_retrieval.number_options import check_number


@pytest.mark.parametrize(
    ("value", "bounds"),
    [
        (1, {"least": 1, "whole": True}),
        (10**400, {"least": 1, "whole": True}),
        (0, {"least": 0}),
        (0.5, {"least": 0, "above": True}),
        (math.inf, {"least": 0}),
        (None, {"least": 1, "null": True}),
    ],
)
def test_number_within_its_bounds_passes(value: object, bounds: dict[str, object]) -> None:
    check_number("optim.lr", value, **bounds)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "bounds", "message"),
    [
        (0, {"least": 1, "whole": True}, "k=0 must be a whole number of at least 1."),
        (1.0, {"least": 1, "whole": True}, "k=1.0 must be a whole number of at least 1."),
        (True, {"least": 0, "whole": True}, "k=True must be a whole number of at least 0."),
        (0, {"least": 0, "above": True}, "k=0 must be a number above 0."),
        (math.nan, {"least": 0}, "k=nan must be a number of at least 0."),
        ("4", {"least": 0}, "k=4 must be a number of at least 0."),
        (None, {"least": 1}, "k=None must be a number of at least 1."),
        (7, {"least": 8, "whole": True, "null": True}, "k=7 must be a whole number of at least 8, or null."),
    ],
)
def test_other_value_is_refused_by_name(value: object, bounds: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=f"^{re.escape(message)}$"):
        check_number("k", value, **bounds)  # type: ignore[arg-type]
