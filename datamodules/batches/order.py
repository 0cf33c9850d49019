"""Which image comes when, and on which side of the split, as pure functions."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import numpy.typing as npt

from datamodules.index.index import DataError

# Each use of the seed draws from its own domain, so that no two of them are correlated.
_DOMAIN_PERMUTATION = 0x0DE5
_DOMAIN_FLIP = 0xF11B

_GOLDEN = 0x9E3779B97F4A7C15
_MASK = 2**64 - 1


@lru_cache(maxsize=2)  # a batch touches two epochs at most, unless the data are smaller than a batch
def epoch_permutation(seed: int, epoch: int, n: int) -> npt.NDArray[np.int64]:
    """The order of the images in one epoch.

    Args:
        seed: Non-negative seed.
        epoch: Number of the epoch, from 0.
        n: Number of images.

    Returns:
        A permutation of 0..n-1, (n,) int64, read-only.
    """
    permutation = np.random.default_rng((seed, _DOMAIN_PERMUTATION, epoch)).permutation(n)
    permutation.setflags(write=False)
    return permutation


def stream_indices(seed: int, start: int, count: int, n: int) -> npt.NDArray[np.int64]:
    """Image indices at positions start .. start + count - 1 of the endless stream of shuffled epochs.

    Args:
        seed: Non-negative seed.
        start: First position, from 0; position p lies in epoch p // n.
        count: Number of positions.
        n: Number of images, at least 1.

    Returns:
        Indices into the images, (count,) int64.
    """
    indices = np.empty(count, dtype=np.int64)
    filled = 0
    while filled < count:
        epoch, offset = divmod(start + filled, n)
        part = epoch_permutation(seed, epoch, n)[offset : offset + count - filled]
        indices[filled : filled + len(part)] = part
        filled += len(part)
    return indices


def flips(seed: int, positions: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Whether the image at each position of the stream is mirrored: a fair coin, pure in (seed, position).

    Args:
        seed: Non-negative seed.
        positions: Positions in the stream, any shape, int64.

    Returns:
        Booleans of the same shape.
    """
    return (_hash(seed, _DOMAIN_FLIP, positions) >> np.uint64(63)).astype(np.bool_)


def uniforms(seed: int, domain: int, positions: npt.NDArray[np.int64], count: int) -> npt.NDArray[np.float64]:
    """Numbers uniform in [0, 1) at each position of the stream, pure in (seed, domain, position).

    Args:
        seed: Non-negative seed.
        domain: What they are for: another domain is another sequence.
        positions: Positions in the stream, (B,) int64.
        count: Numbers per position.

    Returns:
        Array of shape (B, count).
    """
    counters = positions[:, None] * count + np.arange(count)
    return (_hash(seed, domain, counters) >> np.uint64(11)).astype(np.float64) / 2.0**53


def _hash(seed: int, domain: int, counters: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """SplitMix64 (Steele, Lea & Flood 2014) at each counter, in a sequence of its own for (seed, domain)."""
    origin = np.uint64(_mix_int(_mix_int(domain) ^ (seed & _MASK)))
    return _mix(counters.astype(np.uint64) * np.uint64(_GOLDEN) + origin)


def val_mask(hashes: npt.NDArray[np.uint8], share: float) -> npt.NDArray[np.bool_]:
    """Which images are held out of training, by their content alone.

    A content hash is read as a uniform number in [0, 1); below `share` it is held out. An image therefore
    keeps its side when images are added to the folder, its copies share its side, and a larger share only
    adds.

    A small folder may have nobody below `share`. Then the image with the smallest hash is held out (with its
    copies), the very one that a growing share would reach first; it goes back to training when the folder
    grows until somebody is below. With a single distinct image there is nothing to divide: it is trained on.

    Args:
        hashes: Content hashes, (N, 16) uint8.
        share: Share to hold out, in [0, 1).

    Returns:
        True where held out, (N,) bool.

    Raises:
        DataError: Every image would be held out.
    """
    if share == 0.0:
        return np.zeros(len(hashes), dtype=np.bool_)
    distinct = np.unique(hashes, axis=0)
    if len(distinct) < 2:
        return np.zeros(len(hashes), dtype=np.bool_)
    # 53 bits: exact in a double, so that comparing with the share rounds nothing.
    uniform = (np.ascontiguousarray(hashes[:, :8]).view(">u8")[:, 0] >> 11).astype(np.float64) / 2.0**53
    mask: npt.NDArray[np.bool_] = uniform < share
    if not mask.any():
        mask = (hashes == distinct[0]).all(axis=1)  # np.unique sorts the rows
    if mask.all():
        raise DataError(
            f"all {len(hashes)} images would be held out at val_fraction={share}, and none left to train on; "
            "lower --data.val_fraction"
        )
    return mask


def _mix(z: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """The SplitMix64 finalizer; arithmetic modulo 2**64 is meant."""
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _mix_int(z: int) -> int:
    """The SplitMix64 finalizer on a Python integer."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & _MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & _MASK
    return z ^ (z >> 31)
