"""Silence for warnings that nobody can act on, from any number of threads."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_inside: list[warnings.catch_warnings[None]] = []
_count = 0


@contextmanager
def no_warnings() -> Iterator[None]:
    """Ignore all warnings for as long as any thread is in such a block.

    `warnings.catch_warnings` in each thread would restore the filters in the wrong order, and could leave the
    process silent for ever: the first block in saves them, the last one out restores them.
    """
    global _count
    with _lock:
        if _count == 0:
            _inside.append(warnings.catch_warnings())
            _inside[0].__enter__()
            warnings.simplefilter("ignore")
        _count += 1
    try:
        yield
    finally:
        with _lock:
            _count -= 1
            if _count == 0:
                _inside.pop().__exit__(None, None, None)
