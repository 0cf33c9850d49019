from __future__ import annotations

import itertools
from collections import Counter

import numpy as np
import pytest

from datamodules.batches.balance import BalancedStream, permuted
from datamodules.batches.batches import TrainBatches
from datamodules.batches.order import uniforms
from tests.helpers.recording import MakeFolder, first, joined, ready


def keys(seeds: np.ndarray) -> np.ndarray:
    return uniforms(0, 1, seeds, 6)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 7, 8, 9, 31, 64, 100, 1025])
def test_permutation_is_one_for_every_size(n: int) -> None:
    for seed in range(20):
        places = permuted(np.arange(n), np.full(n, n), keys(np.full(n, seed)))
        np.testing.assert_array_equal(np.sort(places), np.arange(n))


def test_permutations_are_all_about_equally_likely() -> None:
    draws = 24_000
    some = keys(np.arange(draws))
    orders = np.stack([permuted(np.full(draws, i), np.full(draws, 4), some) for i in range(4)], axis=1)
    counts = Counter(map(tuple, orders.tolist()))
    assert len(counts) == 24
    assert all(0.8 < count / 1000 < 1.2 for count in counts.values())


LABELS = np.repeat([2, 0, 5, 1], [50, 3, 1, 7])  # and in no order of the labels


def test_classes_come_round_equally_often_however_few_their_images() -> None:
    seen = LABELS[BalancedStream(LABELS, 0).indices(0, 4 * 300)].reshape(300, 4)
    np.testing.assert_array_equal(np.sort(seen, axis=1), np.tile([0, 1, 2, 5], (300, 1)))
    assert len({tuple(turn) for turn in seen.tolist()}) > 20  # of 24 orders


@pytest.mark.parametrize("label", [0, 1, 2, 5])
def test_no_image_comes_again_before_all_of_its_class_have_been_seen(label: int) -> None:
    size = int((label == LABELS).sum())
    indices = BalancedStream(LABELS, 0).indices(0, 4 * 5 * size)
    epochs = indices[LABELS[indices] == label].reshape(5, size)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.flatnonzero(label == LABELS), (5, 1)))
    if size > 3:
        assert len({tuple(epoch) for epoch in epochs.tolist()}) == 5


def test_any_partition_of_the_stream_gives_the_same() -> None:
    stream = BalancedStream(LABELS, 7)
    whole = stream.indices(0, 500)
    cuts = [0, 1, 63, 64, 200, 333, 500]
    parts = [stream.indices(start, stop - start) for start, stop in itertools.pairwise(cuts)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(BalancedStream(LABELS, 7).indices(123, 45), whole[123:168])
    assert not np.array_equal(BalancedStream(LABELS, 8).indices(0, 500), whole)


@pytest.mark.parametrize("labels", [np.zeros(1, np.int64), np.zeros(9, np.int64), np.arange(3000)])
def test_one_image_one_class_and_thousands_of_classes(labels: np.ndarray) -> None:
    indices = BalancedStream(labels, 0).indices(10**12, 2 * len(labels))
    assert set(indices.tolist()) <= set(range(len(labels)))


def test_balanced_batches_do_not_depend_on_ranks_and_micro_batches(make_folder: MakeFolder) -> None:
    data = ready(make_folder({"a": 21, "b": 4, "c": 1}), val_fraction=0)._opened.train
    whole = TrainBatches(data, 12, flip=True, seed=3, balanced=True)
    parts = [TrainBatches(data, 6, True, 3, rank, world_size=2, balanced=True) for rank in (0, 1)]
    for k in (0, 5, 1000):
        together = joined([part[k] for part in parts])
        assert (together.images == whole[k].images).all()
        np.testing.assert_array_equal(np.bincount(whole[k].labels), [4, 4, 4])


def test_class_balanced_is_an_option(make_folder: MakeFolder) -> None:
    module = ready(make_folder({"a": 30, "b": 2}), class_balanced=True, val_fraction=0)
    labels = joined(first(module.train_dataloader(), 10)).labels
    np.testing.assert_array_equal(np.bincount(labels), [20, 20])
