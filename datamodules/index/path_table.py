"""Many paths in little memory."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import overload

import numpy as np
import numpy.typing as npt

_BLOCK = 4096  # paths that exist as Python strings at a time while one iterates


class PathTable(Sequence[str]):
    """An immutable sequence of paths in one block of bytes, about a third of what as many strings take.

    Args:
        text: The paths, UTF-8, each ended by a zero byte, which no path can hold. Bytes of a name that are no
            UTF-8 stand for themselves (Python's `surrogateescape`).
        offsets: Where each begins in `text`, then the length of `text`, (N + 1,) int64.
    """

    def __init__(self, text: bytes, offsets: npt.NDArray[np.int64]) -> None:
        self.text, self.offsets = text, offsets

    @classmethod
    def of(cls, paths: Iterable[str]) -> PathTable:
        """Collect paths in the order given; a table is returned as it is."""
        if isinstance(paths, PathTable):
            return paths
        text, offsets = bytearray(), array("q", [0])
        for path in paths:
            text += path.encode("utf-8", "surrogateescape")
            text.append(0)
            offsets.append(len(text))
        return cls(bytes(text), np.array(offsets, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Memory that the paths take."""
        return len(self.text) + self.offsets.nbytes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @overload
    def __getitem__(self, key: int) -> str: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[str, ...]: ...
    def __getitem__(self, key: int | slice) -> str | tuple[str, ...]:
        if isinstance(key, slice):
            start, stop, step = key.indices(len(self))
            if step != 1:
                return tuple(self[row] for row in range(start, stop, step))
            block = self.text[self.offsets[start] : self.offsets[max(start, stop)]]
            return tuple(block.decode("utf-8", "surrogateescape").split("\0")[:-1])
        row = range(len(self))[key]
        return self.text[self.offsets[row] : self.offsets[row + 1] - 1].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), _BLOCK):
            yield from self[start : start + _BLOCK]

    def __eq__(self, other: object) -> bool:
        if isinstance(other, PathTable):
            return self.text == other.text
        if isinstance(other, tuple):
            return len(self) == len(other) and all(a == b for a, b in zip(self, other, strict=True))
        return NotImplemented

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:3]))
        return f"PathTable({shown}{', ...' if len(self) > 3 else ''}; {len(self)} paths)"

    def take(self, rows: npt.NDArray[np.int64]) -> PathTable:
        """The paths of the given rows, (M,) int64, in that order."""
        return PathTable.of(self[row] for row in rows.tolist())
