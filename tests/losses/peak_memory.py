"""The memory of tensors that live at the same time."""

import weakref
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors made inside this context, forward and backward, on the CPU.

    Attributes:
        live: bytes alive now.
        peak: the most bytes alive at one time.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._storages: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self._add(leaf.untyped_storage())
        return result

    def _add(self, storage: torch.UntypedStorage) -> None:
        if storage._cdata in self._storages:
            return
        self._storages.add(storage._cdata)
        weakref.finalize(storage, self._remove, storage._cdata, storage.nbytes())
        self.live += storage.nbytes()
        self.peak = max(self.peak, self.live)

    def _remove(self, key: int, size: int) -> None:
        self._storages.remove(key)
        self.live -= size
