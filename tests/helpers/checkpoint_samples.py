"""A checkpoint of everything that may be in one, how to compare two, and a disk that is full."""

from __future__ import annotations

import contextlib
import resource
from collections import OrderedDict

import torch
from torch.nn import Parameter


@contextlib.contextmanager
def file_size_limit(size):
    """Let no file of this process grow beyond a size; the kernel refuses, as a full disk would.

    It is for a few lines, not for a fixture: pytest's own output may be a file.
    """
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def nested_checkpoint():
    generator = torch.Generator().manual_seed(0)
    shared = torch.randn(6, 4, generator=generator)
    return {
        "state_dict": OrderedDict(
            weight=shared, tied=shared, row=shared[1], transposed=shared.t(), empty=torch.empty(0, 3)
        ),
        "bf16": torch.randn(5, generator=generator).bfloat16(),
        "halves": [
            torch.tensor([1.0, float("nan"), -0.0], dtype=torch.float16),
            (torch.arange(3), {"x": torch.ones(1)}),
        ],
        "flags": torch.tensor([True, False]),
        "channels_last": torch.randn(2, 3, 4, 4, generator=generator).to(memory_format=torch.channels_last),
        "parameter": Parameter(torch.ones(2)),
        "complex": torch.randn(3, dtype=torch.complex64, generator=generator),
        "scalar": torch.tensor(3.5, dtype=torch.float64),
        "rng": torch.get_rng_state(),
        "numbers": {"step": 12, "lr": 1e-3, "name": "x", "none": None, "betas": (0.9, 0.99), 3: [1, 2]},
    }
