from __future__ import annotations

import torch

from lightning_modules.encoders import RGB
from lightning_modules.sampling.generate import batch_ranges, sample, sample_images
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import classes, module

SETTINGS = Sampling(steps=3)
LABELS = [0, 1, 0, 1, 1, 0, 2]
ASKED = classes(*LABELS)


def sampled(batch_size: int = 3, start: int = 0, **options) -> list:
    return list(sample_images(module(), SETTINGS, ASKED, 5, batch_size, start, **options))


def together(batches: list) -> torch.Tensor:
    return torch.cat([batch.images for batch in batches]).int()


def test_batches_cover_the_set_in_order():
    batches = sampled()
    assert [batch.indices for batch in batches] == [range(3), range(3, 6), range(6, 7)]
    assert [label for batch in batches for label in batch.condition.labels.tolist()] == LABELS
    assert all(batch.images.dtype == torch.uint8 for batch in batches)


def test_images_are_the_module_s_rounded():
    images = sample(module(), ASKED, SETTINGS, seed=5)
    assert (together(sampled()) - RGB().decode(images).int()).abs().max() <= 1


def test_an_image_does_not_depend_on_the_batch_size():
    for size in (1, 2, 7, 100):
        assert (together(sampled(size)) - together(sampled(3))).abs().max() <= 1


def test_starting_at_a_batch_is_the_same_bit_for_bit():
    assert torch.equal(together(sampled(start=3)), together(sampled()[1:]))


def test_starting_within_a_batch_samples_the_rest_of_it():
    batches = sampled(start=4)
    assert [batch.indices for batch in batches] == [range(4, 6), range(6, 7)]
    assert (together(batches) - together(sampled())[4:]).abs().max() <= 1


def test_starting_at_the_end_samples_nothing():
    assert sampled(start=len(LABELS)) == []


def test_batch_ranges():
    assert batch_ranges(0, 4) == []
    assert batch_ranges(4, 4) == [range(4)]
    assert batch_ranges(5, 4) == [range(4), range(4, 5)]
