"""Which images are the same, byte for byte or to the eye."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import numpy.typing as npt

PERCEPTUAL_BYTES = 32
"""A perceptual hash has 256 bits."""

NEAR = 16
"""Hashes that differ in at most so many of 256 bits are taken for the same picture."""

_THUMBNAIL = 64
_FREQUENCIES = 16
_COMPARED = 256


def equal_rows(hashes: npt.NDArray[np.uint8]) -> tuple[npt.NDArray[np.int64], ...]:
    """Group the equal rows of an array.

    Args:
        hashes: (N, K) uint8, K a multiple of 8.

    Returns:
        Arrays of two or more row numbers, each ascending, the groups in the order of their first rows.
    """
    words = np.ascontiguousarray(hashes).view(np.uint64)
    order = np.lexsort(words.T)
    ordered = words[order]
    starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)][: len(words)])
    groups = [group for group in np.split(order, starts[1:]) if len(group) > 1]
    return tuple(sorted(groups, key=lambda group: int(group[0])))


def perceptual_hash(gray: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Hash what an image looks like: the signs of its lowest spatial frequencies.

    A 64 x 64 gray image is taken to its discrete cosine transform; each of the 16 x 16 lowest coefficients
    gives one bit, whether it is above their median (the "pHash" of Zauner 2010, there with 8 x 8). Scaling,
    recompression, a little color or brightness change few bits; another picture changes half of them.

    Args:
        gray: (64, 64) uint8.

    Returns:
        256 bits, (32,) uint8.
    """
    basis = _cosines()
    coefficients = basis @ gray.astype(np.float64) @ basis.T
    coefficients[0, 0] = 0.0  # the mean brightness, which is not of the picture
    return np.packbits(coefficients > np.median(coefficients))


def near_rows(hashes: npt.NDArray[np.uint8], distance: int = NEAR) -> tuple[npt.NDArray[np.int64], ...]:
    """Group images whose perceptual hashes differ in few bits, directly or through others of the group.

    Two hashes that differ in at most d bits agree in at least one of any d + 1 bands of bits (Norouzi,
    Punjani & Fleet 2012, "Fast search in Hamming space with multi-index hashing"), so only hashes that share
    a band are compared. The cost is bounded even where most images are alike: each is compared with at most
    256 others in a band.

    Args:
        hashes: (N, 32) uint8.
        distance: Largest number of differing bits (d).

    Returns:
        Arrays of two or more row numbers, each ascending, the groups in the order of their first rows.
    """
    distinct, member = np.unique(hashes, axis=0, return_inverse=True)
    bits, words = np.unpackbits(distinct, axis=1), np.ascontiguousarray(distinct).view(np.uint64)
    group = np.arange(len(distinct))
    for band in np.array_split(np.arange(bits.shape[1]), distance + 1):
        keys = bits[:, band].astype(np.int64) @ (1 << np.arange(len(band), dtype=np.int64))
        order = np.argsort(keys, kind="stable")
        for one, two in _pairs_of_equals(keys[order]):
            rows, others = order[one], order[two]
            apart = group[rows] != group[others]
            rows, others = rows[apart], others[apart]
            close = np.bitwise_count(words[rows] ^ words[others]).sum(axis=1) <= distance
            _join(group, rows[close], others[close])
    return equal_rows(group[member.reshape(-1)].reshape(-1, 1).view(np.uint8))


def _pairs_of_equals(
    ordered: npt.NDArray[np.int64],
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of positions with equal keys: those one place apart, then two, and so on."""
    here = np.arange(len(ordered))
    for step in range(1, _COMPARED + 1):
        here = here[here + step < len(ordered)]
        here = here[ordered[here] == ordered[here + step]]
        if not here.size:
            return
        yield here, here + step


def _join(group: npt.NDArray[np.int64], ones: npt.NDArray[np.int64], twos: npt.NDArray[np.int64]) -> None:
    """Unite the groups of pairs; a group is named after its lowest row, before and after."""
    for one, two in zip(ones.tolist(), twos.tolist(), strict=True):
        a, b = _name(group, one), _name(group, two)
        group[max(a, b)] = min(a, b)
    if len(ones):
        while not np.array_equal(group, further := group[group]):
            group[:] = further


def _name(group: npt.NDArray[np.int64], row: int) -> int:
    while group[row] != row:
        row = int(group[row])
    return row


@cache
def _cosines() -> npt.NDArray[np.float64]:
    """The lowest 16 rows of the DCT-II of 64 points, (16, 64)."""
    k, n = np.arange(_FREQUENCIES)[:, None], np.arange(_THUMBNAIL)
    return np.cos(np.pi * k * (2 * n + 1) / (2 * _THUMBNAIL))
