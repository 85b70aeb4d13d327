"""Where training and mining cut texts: `data.max_query_length` and `data.max_passage_length`."""

from omegaconf import DictConfig

from hybrid_retrieval.number_options import check_number

_SHORTEST = 8


def check_text_lengths(data: DictConfig) -> None:
    """Refuse lengths that leave nothing of a text.

    Args:
        data: the group `data`, whose lengths are tokens, prefix and special tokens included; None for none.

    Raises:
        UserError: a length is no whole number, or too low.
    """
    for name in ("max_query_length", "max_passage_length"):
        check_number(f"data.{name}", data[name], least=_SHORTEST, whole=True, null=True)
