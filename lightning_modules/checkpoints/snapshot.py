"""Copies of a checkpoint's tensors at one moment, for a writer that works while training goes on."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, UntypedStorage
from torch.nn import Parameter


class Snapshots:
    """Snapshots of one checkpoint after the other, in memory that is kept from one to the next.

    Most of the time of a first snapshot goes into memory that is new to the process; the next ones only copy.
    """

    def __init__(self) -> None:
        self._free: dict[tuple[int, bool], list[UntypedStorage]] = {}

    def take(self, checkpoint: dict[str, Any]) -> dict[str, Any]:
        """Copy tensors to the CPU's memory and all else deeply.

        Tensors that share memory do so in the copy. What is taken stands until the next is.
        """
        free, used = self._free, defaultdict(list)
        copies: dict[tuple[torch.device, int, int], UntypedStorage] = {}
        memo: dict[int, Any] = {}
        for tensor in tensors_in(checkpoint):
            if not _plain(tensor):
                memo[id(tensor)] = tensor.detach().to("cpu", copy=True)
                continue
            storage = tensor.untyped_storage()
            if (key := storage_key(storage)) not in copies:
                kind = (storage.nbytes(), storage.device.type == "cuda")
                buffers = free.get(kind)
                buffer = buffers.pop() if buffers else _buffer(*kind)
                copies[key] = buffer.copy_(storage)
                used[kind].append(buffer)
            memo[id(tensor)] = _same_view(tensor, copies[key])
        self._free = dict(used)
        snapshot: dict[str, Any] = copy.deepcopy(checkpoint, memo)
        return snapshot

    def release(self) -> None:
        """Give the memory back."""
        self._free = {}


def tensors_in(value: object) -> Iterator[Tensor]:
    """Yield the tensors of nested mappings, lists and tuples."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from tensors_in(item)


def size_in_bytes(checkpoint: dict[str, Any]) -> int:
    """Return the bytes of a checkpoint's tensors; memory that some share counts once."""
    storages = (tensor.untyped_storage() for tensor in tensors_in(checkpoint) if _plain(tensor))
    return sum({storage_key(storage): storage.nbytes() for storage in storages}.values())


def storage_key(storage: UntypedStorage) -> tuple[torch.device, int, int]:
    """Return what tells one tensor's memory from another's."""
    return storage.device, storage.data_ptr(), storage.nbytes()


def _plain(tensor: Tensor) -> bool:
    return (
        type(tensor) in (Tensor, Parameter)
        and tensor.layout == torch.strided
        and not (tensor.is_meta or tensor.is_quantized or tensor.is_conj() or tensor.is_neg())
    )


def _buffer(size: int, pinned: bool) -> UntypedStorage:
    return torch.empty(size, dtype=torch.uint8, pin_memory=pinned).untyped_storage()


def _same_view(tensor: Tensor, storage: UntypedStorage) -> Tensor:
    view = torch.empty(0, dtype=tensor.dtype)
    view.set_(storage, tensor.storage_offset(), tensor.size(), tensor.stride())
    if isinstance(tensor, Parameter):
        return Parameter(view, tensor.requires_grad)
    return view.requires_grad_(tensor.requires_grad)
