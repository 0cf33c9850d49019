"""What the C library does with memory that a training step has freed."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os

import torch

SWITCH = "NINELIVES_MALLOPT"
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_TOP_PAD = 64 * 2**20


def keep_freed_memory() -> bool:
    """Let glibc keep for the next step the memory that a step on the CPU frees.

    Every step takes and frees the same activations. By default glibc gives large ones back to the system,
    which then hands out, and zeroes, each of their pages again. Held memory is the most that was in use at
    once, whether glibc keeps it or not; `free_memory` gives it back. The settings are the process's, and
    whoever sets the environment variable `NINELIVES_MALLOPT=0` keeps glibc's own.

    Returns:
        Whether the settings are made: only where the C library is glibc.
    """
    if os.environ.get(SWITCH) == "0":
        return False
    library = _glibc()
    if library is None:
        return False
    settings = ((_M_MMAP_MAX, 0), (_M_TRIM_THRESHOLD, -1), (_M_TOP_PAD, _TOP_PAD))
    made = [library.mallopt(name, value) for name, value in settings]
    return all(made)


def free_memory() -> None:
    """Give back to the device and to the system what is no longer in use."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


def _glibc() -> ctypes.CDLL | None:
    """Return the process's C library if it is glibc: others lack these calls, or mean something else."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018
        return library
    return None
