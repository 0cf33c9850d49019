"""Silence for what decoders say and nobody can act on, from any number of threads."""

from __future__ import annotations

import ctypes
import functools
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import PIL

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


@functools.cache
def silence_libtiff() -> None:
    """Have libtiff write nothing to the process's standard error, which it does past Python.

    What is wrong with a file is raised by Pillow all the same. Where the library is not found it goes on.
    """
    for library in _loaded("libtiff"):
        with suppress(OSError, AttributeError):
            tiff = ctypes.CDLL(str(library))
            tiff.TIFFSetWarningHandler(None)
            tiff.TIFFSetErrorHandler(None)


def _loaded(name: str) -> set[Path]:
    """Libraries that this process has loaded; where the system does not tell, those that Pillow brings."""
    try:
        lines = Path("/proc/self/maps").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return set(Path(PIL.__file__).parent.glob(f".dylibs/{name}*"))
    mapped = {Path(fields[5]) for line in lines if len(fields := line.split(maxsplit=5)) == 6}
    return {path for path in mapped if path.name.startswith(name)}
