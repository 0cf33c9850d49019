from __future__ import annotations

import itertools

import numpy as np
import pytest

from datamodules.batches.order import epoch_permutation, flips, stream_indices, uniforms, val_mask
from datamodules.index.index import DataError


def random_hashes(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 16), dtype=np.uint8)


def test_every_image_once_per_epoch() -> None:
    stream = stream_indices(seed=3, start=0, count=70, n=7).reshape(10, 7)
    assert (np.sort(stream, axis=1) == np.arange(7)).all()
    assert len({tuple(epoch) for epoch in stream}) > 5  # and in another order each time


@pytest.mark.parametrize("n", [1, 2, 7, 64, 1000])
def test_any_partition_of_the_stream_gives_the_same(n: int) -> None:
    whole = stream_indices(seed=5, start=0, count=500, n=n)
    cuts = [0, *np.sort(np.random.default_rng(n).integers(0, 500, 20)).tolist(), 500]
    parts = [stream_indices(5, start, stop - start, n) for start, stop in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(stream_indices(5, 123, 45, n), whole[123:168])  # and in any sequence


def test_stream_is_the_epochs_in_a_row() -> None:
    whole = np.concatenate([epoch_permutation(5, epoch, 10) for epoch in range(3)])
    np.testing.assert_array_equal(stream_indices(5, 0, 30, 10), whole)


def test_positions_far_out_are_reached_at_once() -> None:
    start = 10**15
    assert stream_indices(0, start, 4, 1000).dtype == np.int64
    assert flips(0, np.arange(start, start + 4)).shape == (4,)


def test_seeds_and_epochs_differ() -> None:
    orders = {tuple(epoch_permutation(seed, epoch, 50)) for seed in range(5) for epoch in range(5)}
    assert len(orders) == 25


def test_permutation_cannot_be_changed_by_its_user() -> None:
    with pytest.raises(ValueError, match="read-only"):
        epoch_permutation(0, 0, 5)[0] = 1


def test_flips_are_half_and_independent_of_batching() -> None:
    positions = np.arange(100_000)
    coins = flips(7, positions)
    assert abs(coins.mean() - 0.5) < 5 * 0.5 / np.sqrt(len(coins))
    parts = np.array_split(positions, 37)
    np.testing.assert_array_equal(np.concatenate([flips(7, part) for part in parts]), coins)
    np.testing.assert_array_equal(flips(7, positions[::-1])[::-1], coins)


def test_flips_of_seeds_neighbours_and_epochs_are_unrelated() -> None:
    positions = np.arange(100_000)
    coins = flips(0, positions) * 2.0 - 1.0
    bound = 5 / np.sqrt(len(coins))
    for seed, shift in ((1, 0), (2**40, 0), (0, 1), (0, 1000)):
        other = flips(seed, positions + shift)
        assert abs((coins * (other * 2.0 - 1.0)).mean()) < bound


def test_uniforms_are_uniform_and_independent_of_batching() -> None:
    positions = np.arange(50_000)
    numbers = uniforms(7, 1, positions, 3)
    assert numbers.min() >= 0.0
    assert numbers.max() < 1.0
    shares = np.histogram(numbers, bins=10, range=(0, 1))[0] / numbers.size
    np.testing.assert_allclose(shares, 0.1, atol=0.005)
    assert np.abs(np.corrcoef(numbers.T) - np.eye(3)).max() < 0.03
    np.testing.assert_array_equal(uniforms(7, 1, positions[100:120], 3), numbers[100:120])
    for other in (
        uniforms(8, 1, positions, 3),
        uniforms(7, 2, positions, 3),
        uniforms(7, 1, positions + 1, 3),
    ):
        assert abs(np.corrcoef(numbers[:, 0], other[:, 0])[0, 1]) < 0.03


def test_a_million_images_need_two_permutations_at_most() -> None:
    for start in (0, 999_990, 5_000_000, 10**12):
        indices = stream_indices(0, start, 64, 10**6)
        assert len(np.unique(indices)) >= 54  # of two epochs at most
    assert epoch_permutation.cache_info().currsize <= 2


def test_val_share_is_about_right_and_grows_monotonically() -> None:
    hashes = random_hashes(20_000)
    before = np.zeros(len(hashes), bool)
    for share in (0.0, 0.01, 0.05, 0.3, 0.9):
        mask = val_mask(hashes, share)
        assert abs(mask.mean() - share) < 5 * np.sqrt(0.25 / len(hashes))
        assert not (before & ~mask).any()
        before = mask


def test_an_image_keeps_its_side_whatever_else_is_there() -> None:
    hashes = random_hashes(500)
    mask = val_mask(hashes, 0.2)
    order = np.random.default_rng(1).permutation(500)
    np.testing.assert_array_equal(val_mask(hashes[order], 0.2), mask[order])
    more = np.concatenate([random_hashes(300, seed=2), hashes])
    np.testing.assert_array_equal(val_mask(more, 0.2)[300:], mask)


def test_copies_share_a_side() -> None:
    hashes = np.repeat(random_hashes(100), 3, axis=0)
    sides = val_mask(hashes, 0.4).reshape(100, 3)
    assert (sides == sides[:, :1]).all()


def test_no_share_holds_nothing_out() -> None:
    assert not val_mask(random_hashes(10), 0.0).any()


def test_small_folder_holds_out_the_smallest_hash_and_its_copies() -> None:
    hashes = np.full((5, 16), 200, np.uint8)
    hashes[:, 15] = [3, 1, 2, 1, 9]
    np.testing.assert_array_equal(val_mask(hashes, 0.01), [False, True, False, True, False])


def test_a_single_distinct_image_is_trained_on() -> None:
    for hashes in (np.zeros((1, 16), np.uint8), np.zeros((4, 16), np.uint8)):
        assert not val_mask(hashes, 0.5).any()


def test_nothing_left_to_train_on_is_an_error() -> None:
    hashes = np.zeros((3, 16), np.uint8)
    hashes[:, 15] = [0, 1, 2]
    with pytest.raises(DataError, match=r"--data\.val_fraction"):
        val_mask(hashes, 0.5)
