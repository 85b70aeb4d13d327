"""Functions compiled by Numba."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import numba

_Function = TypeVar("_Function", bound=Callable[..., Any])
_compile = partial(numba.njit, nogil=True, error_model="numpy")


def compiled(function: _Function) -> _Function:
    """Compile on the first call, which takes seconds, and keep the machine code for later processes.

    What is kept is used until the function's own file changes: it may call compiled functions of that file
    alone, or it would go on with the code that those of another file had (`compiled_anew` may call any).
    """
    try:
        machine_code: _Function = _compile(cache=True)(function)
    except RuntimeError:  # no folder to keep it in can be written to
        machine_code = compiled_anew(function)
    return machine_code


def compiled_anew(function: _Function) -> _Function:
    """Compile on the first call of every process."""
    machine_code: _Function = _compile()(function)
    return machine_code
