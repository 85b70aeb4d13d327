"""Functions compiled by Numba."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile on the first call, which takes seconds, and keep the machine code for later processes."""
    compile_for_threads = partial(numba.njit, nogil=True, error_model="numpy")
    try:
        machine_code: _Function = compile_for_threads(cache=True)(function)
    except RuntimeError:  # no folder to keep it in can be written to
        machine_code = compile_for_threads()(function)
    return machine_code
