from __future__ import annotations

import itertools

import pytest
import torch

from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.utils.seeds import Stream, fold

SHAPE = (3, 4, 5)


def draws(seed: int, indices, count: int = 3) -> torch.Tensor:
    """`count` successive draws, (count, B, C, H, W)."""
    noise = ImageNoise(seed, indices, SHAPE)
    return torch.stack([noise() for _ in range(count)])


def test_draw_shape_and_dtype():
    noise = ImageNoise(0, [5, 2], SHAPE)()
    assert noise.shape == (2, *SHAPE)
    assert noise.dtype == torch.float32


@pytest.mark.parametrize("batch", [[7], [7, 3], [3, 7], [0, 1, 2, 7, 9], range(20)], ids=str)
def test_an_image_has_the_same_noise_in_any_batch(batch):
    alone = draws(1, [7])[:, 0]
    assert torch.equal(draws(1, batch)[:, list(batch).index(7)], alone)


def test_noise_is_the_same_again():
    assert torch.equal(draws(4, range(5)), draws(4, range(5)))


def test_noise_is_the_same_whatever_else_draws():
    expected = draws(4, [1])
    noise = ImageNoise(4, [1], SHAPE)
    interleaved = []
    for _ in range(3):
        torch.randn(17)
        interleaved.append(noise())
    assert torch.equal(torch.stack(interleaved), expected)


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()
    draws(0, range(3))
    assert torch.equal(torch.get_rng_state(), before)


def test_successive_draws_differ():
    first, second, third = draws(0, [0])
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


def test_images_and_seeds_differ():
    streams = [draws(seed, [index], count=1) for seed in range(4) for index in range(4)]
    assert not any(torch.equal(a, b) for a, b in itertools.combinations(streams, 2))


def test_streams_are_standard_normal_and_uncorrelated():
    noise = ImageNoise(0, range(40), (1, 50, 50))().flatten(1).double()
    torch.testing.assert_close(noise.mean(1), torch.zeros(40, dtype=torch.float64), rtol=0, atol=0.1)
    torch.testing.assert_close(noise.std(1), torch.ones(40, dtype=torch.float64), rtol=0, atol=0.1)
    correlations = noise.corrcoef() - torch.eye(40, dtype=torch.float64)
    assert correlations.abs().max() < 0.1  # five standard errors of 1 / sqrt(2500)


def test_images_whose_seeds_are_alike_in_the_low_half_differ():
    """torch's CPU generator hears 32 bits of its seed, and among 100,000 images some two have these equal."""
    owners: dict[int, int] = {}
    for index in range(2**18):
        other = owners.setdefault(fold(0, Stream.IMAGE, index) % 2**32, index)
        if other != index:
            break
    assert other != index, "no such pair; search further"
    assert not torch.equal(draws(0, [other]), draws(0, [index]))
