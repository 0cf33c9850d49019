from __future__ import annotations

import torch

from lightning_modules.pictures.images import to_uint8
from lightning_modules.sampling.class_choice import choose_labels
from lightning_modules.sampling.generate import batch_ranges, draw_images
from lightning_modules.sampling.settings import Sampling
from tests.helpers.tiny import module

SETTINGS = Sampling(steps=3)
LABELS = [0, 1, 0, 1, 1, 0, 2]


def drawn(batch_size: int = 3, start: int = 0, **options) -> list:
    return list(draw_images(module(), SETTINGS, LABELS, 5, batch_size, start, **options))


def together(batches: list) -> torch.Tensor:
    return torch.cat([batch.images for batch in batches]).int()


def test_batches_cover_the_set_in_order():
    batches = drawn()
    assert [batch.indices for batch in batches] == [range(3), range(3, 6), range(6, 7)]
    assert [label for batch in batches for label in batch.labels.tolist()] == LABELS
    assert all(batch.images.dtype == torch.uint8 for batch in batches)


def test_images_are_the_module_s_rounded():
    images = module().sample(torch.tensor(LABELS), SETTINGS, seed=5)
    assert (together(drawn()) - to_uint8(images).int()).abs().max() <= 1


def test_an_image_does_not_depend_on_the_batch_size():
    for size in (1, 2, 7, 100):
        assert (together(drawn(size)) - together(drawn(3))).abs().max() <= 1


def test_starting_at_a_batch_is_the_same_bit_for_bit():
    assert torch.equal(together(drawn(start=3)), together(drawn()[1:]))


def test_starting_within_a_batch_draws_the_rest_of_it():
    batches = drawn(start=4)
    assert [batch.indices for batch in batches] == [range(4, 6), range(6, 7)]
    assert (together(batches) - together(drawn())[4:]).abs().max() <= 1


def test_starting_at_the_end_draws_nothing():
    assert drawn(start=len(LABELS)) == []


def test_batch_ranges():
    assert batch_ranges(0, 4) == []
    assert batch_ranges(4, 4) == [range(4)]
    assert batch_ranges(5, 4) == [range(4), range(4, 5)]


def test_default_labels_are_balanced():
    labels = choose_labels(None, ["a", "b", "c"], 30)
    assert {labels.count(label) for label in range(3)} == {10}
