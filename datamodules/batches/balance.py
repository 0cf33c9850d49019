"""Each class equally often, regardless of its number of images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from datamodules.batches.order import uniforms

_DOMAIN_CLASS = 0xC1A5
_DOMAIN_IMAGE = 0xFE15
_ROUNDS = 6


class BalancedStream:
    """An endless stream in which every class comes round equally often, pure in (seed, position).

    The classes are dealt out as the images of an unbalanced stream are, in shuffled epochs of all of them,
    and turn v of a class of n images takes image `v mod n` of the class's epoch `v // n`, reshuffled:
    no image is repeated before all of its class have been seen. These orders are computed where they are
    requested, and nothing is held in memory.

    Args:
        labels: Class of each image, (N,) int64; at least one image.
        seed: Non-negative seed.
    """

    def __init__(self, labels: npt.NDArray[np.int64], seed: int) -> None:
        self.seed = seed
        self._by_class = np.argsort(labels, kind="stable")
        present, self._starts, self._counts = np.unique(
            labels[self._by_class], return_index=True, return_counts=True
        )
        self._classes = len(present)

    def indices(self, start: int, count: int) -> npt.NDArray[np.int64]:
        """Image indices at positions start .. start + count - 1, (count,) int64."""
        positions = np.arange(start, start + count)
        turns, places = positions // self._classes, positions % self._classes
        keys = uniforms(self.seed, _DOMAIN_CLASS, turns, _ROUNDS)
        classes = permuted(places, np.full(count, self._classes), keys)
        sizes = self._counts[classes]
        epochs, places = turns // sizes, turns % sizes  # the class has had so many turns before
        keys = uniforms(self.seed, _DOMAIN_IMAGE, epochs * self._classes + classes, _ROUNDS)
        within = permuted(places, sizes, keys)
        indices: npt.NDArray[np.int64] = self._by_class[self._starts[classes] + within]
        return indices


def permuted(
    places: npt.NDArray[np.int64], sizes: npt.NDArray[np.int64], keys: npt.NDArray[np.float64]
) -> npt.NDArray[np.int64]:
    """Send each place to another one of 0 .. size - 1: a bijection for every size and set of keys.

    Rounds of "add a key, multiply by an odd number, fold the upper half onto the lower" permute the next
    power of two, and a result beyond the size is sent round again (cycle walking: Black & Rogaway 2002).

    Args:
        places: (B,) int64, below `sizes`.
        sizes: (B,) int64, at least 1.
        keys: (B, rounds) in [0, 1).

    Returns:
        The permuted places, (B,) int64.
    """
    bits = np.ceil(np.log2(np.maximum(sizes, 2))).astype(np.int64)
    masks, shifts = (1 << bits) - 1, (bits + 1) // 2
    whole = (keys * 2.0**52).astype(np.int64)
    result, todo = places.copy(), np.arange(len(places))
    while len(todo):
        x, mask, shift = result[todo], masks[todo], shifts[todo]
        for key in whole[todo].T:
            x = ((x + key) * (2 * (key >> 20) + 1)) & mask
            x ^= x >> shift
        result[todo] = x
        todo = todo[x >= sizes[todo]]
    return result
