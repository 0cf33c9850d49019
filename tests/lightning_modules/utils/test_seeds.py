from __future__ import annotations

import itertools

import pytest
import torch

from lightning_modules.utils.seeds import Stream, fold


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((0,), 1510535322069280158),
        ((1234, 5), 2036125815401784583),
        ((1234, 5, 6), 9179418570493937247),
        ((2**40, 12_000, 3), 8502504276915553964),
    ],
)
def test_fold_never_changes(arguments, expected):
    """A run resumed under another version must draw what it would have drawn: a new hash breaks that."""
    assert fold(arguments[0], Stream.IMAGE, *arguments[1:]) == expected


def test_fold_fits_a_generator_s_seed():
    seeds = [fold(0, Stream.TRAINING_STEP, step) for step in range(1000)]
    assert all(isinstance(seed, int) and 0 <= seed < 2**63 for seed in seeds)
    assert max(seeds) > 2**62
    assert len(set(seeds)) == len(seeds)
    torch.Generator().manual_seed(max(seeds))


def test_fold_of_neighbours_is_unrelated():
    """No sums, products or exclusive ors: seed + step would make run 1's step 0 run 0's step 1."""
    seeds = [
        fold(seed, Stream.TRAINING_STEP, step, rank)
        for seed in range(10)
        for step in range(10)
        for rank in range(10)
    ]
    assert len(set(seeds)) == 1000
    flipped = [(a ^ b).bit_count() for a, b in itertools.pairwise(seeds)]
    assert 30 < sum(flipped) / len(flipped) < 33  # half of 63 bits


def test_counters_are_not_interchangeable():
    assert len({fold(order[0], Stream.IMAGE, *order[1:]) for order in itertools.permutations((3, 5, 8))}) == 6


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0,), (0, 0)),
        ((7, 100), (7, 100, 0)),
        ((7, 100, 0), (7, 100, 0, 0)),
        ((5 + 2**32, 3), (5, 1, 3)),
        ((5, 3 + 2**32), (5, 3, 1)),
    ],
    ids=str,
)
def test_different_arguments_give_different_seeds(one, other):
    """Otherwise the stream of step 100 would be the one of step 100 of rank 0."""
    assert fold(one[0], Stream.IMAGE, *one[1:]) != fold(other[0], Stream.IMAGE, *other[1:])


@pytest.mark.parametrize("arguments", [(-1,), (0, -1)])
def test_negative_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="non-negative"):
        fold(arguments[0], Stream.IMAGE, *arguments[1:])


def test_purposes_never_share_a_stream():
    """Micro-batch 3 on rank 0 and image 3 had one seed before the purpose went into the hash."""
    seeds = {
        fold(0, stream, *counters) for stream in Stream for counters in [(), (3,), (3, 0), (0, 3), (3, 3)]
    }
    assert len(seeds) == len(Stream) * 5
