from __future__ import annotations

import pytest
import scipy.stats
import torch

from lightning_modules.metrics.memorization import (
    closest_pairs,
    mann_whitney_z,
    memorization,
    nearest_images,
)
from lightning_modules.metrics.pairs import EvaluationError


def draw(n, seed, features=8):
    return torch.randn(n, features, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


TRAIN, HELD_OUT, SAMPLES = draw(400, 0), draw(300, 1), draw(300, 2)


def gauge(samples, mirrored=None, val=HELD_OUT):
    return memorization(nearest_images(samples, TRAIN, mirrored), nearest_images(val, TRAIN))


@pytest.mark.parametrize("rows", [7, 512])
def test_nearest_images_are_the_brute_force_ones(rows, monkeypatch):
    monkeypatch.setattr("lightning_modules.metrics.memorization._ROWS", rows)
    found = nearest_images(SAMPLES[:20], TRAIN)
    for query, distances, indices in zip(SAMPLES[:20], found.distances, found.indices, strict=True):
        apart = sorted((float((query - image).norm()), row) for row, image in enumerate(TRAIN))
        assert distances.tolist() == pytest.approx([d for d, _ in apart[:2]])
        assert indices.tolist() == [row for _, row in apart[:2]]


def test_the_nearer_of_an_image_and_its_mirror_image_counts():
    mirror_copies = -TRAIN[:20]
    assert nearest_images(mirror_copies, TRAIN).distances[:, 0].min() > 0.1
    found = nearest_images(mirror_copies, TRAIN, mirrored=-mirror_copies)
    assert found.distances[:, 0].max() < 1e-6
    assert found.indices[:, 0].tolist() == list(range(20))


def test_gauge_is_silent_on_new_images_of_the_same_law():
    found = gauge(SAMPLES)
    assert not found.rings
    assert found.distance_ratio_interval[0] < 1 < found.distance_ratio_interval[1]
    assert "no sign of memorizing" in found.describe()


@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("share", [0.1, 0.5, 1.0])
def test_gauge_rings_on_copies(noise, share):
    count = int(share * len(SAMPLES))
    samples = SAMPLES.clone()
    samples[:count] = TRAIN[:count] + noise * draw(count, 3)
    found = gauge(samples)
    assert found.rings
    assert found.copies == pytest.approx(share, abs=0.05)
    assert found.copies_val < 0.02
    assert "MEMORIZING" in found.describe()


def test_near_duplicates_in_the_data_are_no_copying():
    twins = torch.cat([TRAIN[:60] + 0.05 * draw(60, 5), HELD_OUT[:240]])
    found = memorization(nearest_images(twins, TRAIN), nearest_images(twins.flip(0), TRAIN))
    assert found.copies == found.copies_val > 0.15
    assert not found.rings


def test_samples_far_from_everything_do_not_ring():
    found = gauge(3 * SAMPLES)
    assert not found.rings
    assert found.distance_ratio > 1
    assert found.z > 3


def test_rank_statistic_is_scipys():
    x, y = draw(50, 0, 1)[:, 0], draw(70, 1, 1)[:, 0] + 0.3
    u = scipy.stats.mannwhitneyu(x.numpy(), y.numpy()).statistic
    expected = (u - 50 * 70 / 2) / (50 * 70 * 121 / 12) ** 0.5
    assert mann_whitney_z(x, y) == pytest.approx(expected, rel=1e-12)
    assert mann_whitney_z(torch.zeros(5), torch.zeros(9)) == 0  # ties count half


def test_closest_pairs_begin_with_the_copy():
    samples = SAMPLES.clone()
    samples[7] = TRAIN[123]
    pairs = closest_pairs(nearest_images(samples, TRAIN), 3)
    assert pairs.shape == (3, 2)
    assert pairs[0].tolist() == [7, 123]


def test_one_training_image_is_too_few():
    with pytest.raises(EvaluationError, match="two"):
        nearest_images(SAMPLES, TRAIN[:1])
