"""How many bytes of tensors are alive, counted tensor by tensor: exact on any device, also where there is no GPU."""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveBytes(TorchDispatchMode):
    """Bytes of the tensors that are made inside and alive: `now`, and at most, `peak`.

    What operators take for themselves while they run is not seen, nor what an allocator keeps or rounds up.

        with LiveBytes() as seen:
            model(x).sum().backward()
        print(seen.peak)
    """

    def __init__(self) -> None:
        super().__init__()
        self.now = self.peak = 0
        self._made: set[int] = set()
        self._older: set[int] = set()

    def __torch_dispatch__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        for tensor in _tensors((args, kwargs)):
            self._note(tensor.untyped_storage(), self._older)
        out = func(*args, **(kwargs or {}))
        for tensor in _tensors(out):
            storage = tensor.untyped_storage()
            if self._note(storage, self._made):
                self.now += storage.nbytes()
                self.peak = max(self.peak, self.now)
                weakref.finalize(storage, self._freed, storage.nbytes())
        return out

    def _note(self, storage: torch.UntypedStorage, own: set[int]) -> bool:
        """Whether this storage was unknown; it is now one of `own`, until it is freed."""
        key = storage._cdata
        if key in self._made or key in self._older:
            return False
        own.add(key)
        weakref.finalize(storage, own.discard, key)
        return True

    def _freed(self, size: int) -> None:
        self.now -= size


def _tensors(tree: Any) -> Iterator[Tensor]:
    return (leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor))
