"""All that this project uses of torch beyond its public interface, one small function each."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor


def lerp_together(tensors: Sequence[Tensor], ends: Sequence[Tensor], share: float) -> None:
    """Move tensors toward others by a share of the way, in place and in a few kernels for all of them."""
    torch._foreach_lerp_(list(tensors), list(ends), share)


@contextmanager
def quiet_onnx_export() -> Iterator[None]:
    """Silence what the exporter says of torch's own insides, of torchvision and of axes of the same name."""
    registration = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = registration.level
    registration.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", r"`isinstance\(treespec, LeafSpec\)` is deprecated")
            warnings.filterwarnings("ignore", r"# The axis name: batch will not be used")
            yield
    finally:
        registration.setLevel(level)
