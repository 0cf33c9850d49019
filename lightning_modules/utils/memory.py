"""Telling that memory ran out, on any device."""

from __future__ import annotations

import torch

_MESSAGES = (
    "DefaultCPUAllocator",
    "not enough memory",
    "could not create a primitive",  # oneDNN, where its workspace cannot be allocated
    "CUDA out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
)
"""What torch and its libraries say in a plain `RuntimeError`."""


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error means that there was not enough memory, on the device or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _MESSAGES)
