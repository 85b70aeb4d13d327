"""The values of `trainer.deterministic`, and what a run says of an operation that cannot follow it.

Lightning does the rest when it makes the trainer: `torch.use_deterministic_algorithms`, and the variable
CUBLAS_WORKSPACE_CONFIG, which PyTorch reads at the first matrix product on a GPU.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager

from omegaconf import DictConfig

from hybrid_retrieval.errors import UserError

SETTING = "trainer.deterministic"
# torch: "put_ does not have a deterministic implementation, but you set ...".
_OPERATION = re.compile(r"(\S+) does not have a deterministic implementation")


def check_deterministic(cfg: DictConfig) -> None:
    """Refuse what is no value of `trainer.deterministic`.

    Args:
        cfg: `conf/train.yaml`.

    Raises:
        UserError: it is none of true, false and warn.
    """
    value = cfg.trainer.deterministic
    if not isinstance(value, bool) and value != "warn":
        raise UserError(f"{SETTING}={value} must be true, false or warn.")


@contextmanager
def nondeterminism_explained() -> Iterator[None]:
    """Run the body, and say in one message which operation of it has no kernel that adds in one order.

    Raises:
        UserError: in place of what PyTorch raises under `use_deterministic_algorithms(True)`.
    """
    try:
        yield
    except RuntimeError as error:
        found = _OPERATION.search(str(error))
        if found is None:
            raise
        raise UserError(
            f"{SETTING}=true, but on this device PyTorch has no kernel of {found[1]} that adds in one order. "
            f"Set {SETTING}=warn, with which this operation and the backward pass of attention add in any "
            f"order, or {SETTING}=false."
        ) from error
