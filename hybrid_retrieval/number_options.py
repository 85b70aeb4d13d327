"""The check of an option that is a number, one message for all."""

from hybrid_retrieval.errors import UserError


def check_number(
    name: str, value: object, *, least: float, above: bool = False, whole: bool = False, null: bool = False
) -> None:
    """Refuse a value that is no number or too low; true and false are no numbers, NaN is too low.

    Args:
        name: of the option, as it is given on the command line.
        value: of the option.
        least: the lowest value allowed.
        above: whether `least` itself is not allowed.
        whole: whether it must be a whole number.
        null: whether None is allowed.

    Raises:
        UserError: the value is refused.
    """
    if value is None and null:
        return
    if (
        isinstance(value, int if whole else int | float)
        and not isinstance(value, bool)
        and (value > least if above else value >= least)
    ):
        return
    what = "whole number" if whole else "number"
    bound = f"above {least:g}" if above else f"of at least {least:g}"
    raise UserError(f"{name}={value} must be a {what} {bound}{', or null' if null else ''}.")
