"""Sampling images from a model: a batch, or a numbered set of them in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from lightning_modules.diffusion.denoiser import Condition, Denoiser
from lightning_modules.diffusion.samplers.sampler import NoiseSource
from lightning_modules.module import DiffusionModule
from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.sampling.settings import Sampling


class SampledBatch(NamedTuple):
    """Some consecutive images of a set."""

    indices: range
    """Their numbers in the set."""

    condition: Condition
    """What was asked of them, on the CPU."""

    images: Tensor
    """The images, (B, 3, H, W), uint8, rounded, on the CPU."""

    broken: int = 0
    """How many images came out with values that are not finite, and so show nothing."""


def sample(
    module: DiffusionModule,
    condition: Condition,
    settings: Sampling = Sampling(),
    seed: int = 0,
    indices: Sequence[int] | None = None,
    guide: DiffusionModule | None = None,
) -> Tensor:
    """Sample a batch of images with a module's present weights.

    Args:
        module: The model.
        condition: What is asked of B images.
        settings: Sampler, steps, guidance.
        seed: Seed of the set of images.
        indices: The images' numbers in the set, which fix their noise; none counts from 0.
        guide: A weaker model of the same data to guide away from; none takes what the settings name.

    Returns:
        Images in model space, (B, C, H, W), float32, not clipped: `module.encoder.decode` makes pixels of
        them. Image `i` does not depend on the batch that it is sampled in.

    Raises:
        ValueError: If the settings guide by an average that the module does not have.
    """
    numbers = range(len(condition)) if indices is None else indices
    noise = ImageNoise(seed, numbers, module.image_shape, module.device)
    return sample_from(module, condition, settings, noise, guide)


def sample_from(
    module: DiffusionModule,
    condition: Condition,
    settings: Sampling,
    noise: NoiseSource,
    guide: DiffusionModule | None = None,
    watch: Callable[[Denoiser], Denoiser] | None = None,
) -> Tensor:
    """Sample a batch of images from any noise; see `sample` and `Sampling.sample`.

    Raises:
        ValueError: If the settings guide by an average that the module does not have.
    """
    models = [module] if guide is None else [module, guide]
    modes = [model.training for model in models]
    for model in models:
        model.eval()
    try:
        weak = weak_denoiser(module, condition, settings, guide)
        return settings.sample(module.bind(condition), noise, weak, watch)
    finally:
        for model, mode in zip(models, modes, strict=True):
            model.train(mode)


def weak_denoiser(
    module: DiffusionModule, condition: Condition, settings: Sampling, guide: DiffusionModule | None = None
) -> Denoiser | None:
    """Return what settings guide away from; none where they do not guide.

    A guide, if there is one; or the average of the model's own weights that the settings name; or the model
    with nothing asked of it.

    Raises:
        ValueError: If the module does not have the average.
    """
    if settings.guidance == 1:
        return None
    if guide is not None:
        return guide.bind(condition)
    if settings.own_guide is not None:
        return module.bind(condition, ema=settings.own_guide)
    return module.bind(module.conditioner.null(len(condition)))


def sample_images(
    module: DiffusionModule,
    settings: Sampling,
    condition: Condition,
    seed: int = 0,
    batch_size: int = 64,
    start: int = 0,
    guide: DiffusionModule | None = None,
) -> Iterator[SampledBatch]:
    """Sample images `start` to N - 1 of a set, a batch at a time, with the module as it is.

    Image `i` depends on the seed, what is asked of it and `i` alone: up to the rounding of the network's
    arithmetic it is the same for every batch size and wherever sampling starts. Batches are cut from 0, so
    that sampling that starts at a batch's first image is the same bit for bit.

    Args:
        module: The model.
        settings: Sampler, steps, guidance.
        condition: What is asked of the N images of the whole set, also of those before `start`.
        seed: Seed of the set.
        batch_size: Images at a time.
        start: Number of the first image that is wanted.
        guide: A weaker model to guide away from.

    Yields:
        The batches in order.
    """
    for indices in batch_ranges(len(condition), batch_size):
        if indices.stop > start:
            wanted = range(max(start, indices.start), indices.stop)
            asked = condition[wanted.start : wanted.stop]
            yield sample_batch(module, settings, asked, wanted, seed, guide)


def sample_batch(
    module: DiffusionModule,
    settings: Sampling,
    condition: Condition,
    indices: range,
    seed: int = 0,
    guide: DiffusionModule | None = None,
) -> SampledBatch:
    """Sample one batch of a set.

    Args:
        module: The model.
        settings: Sampler, steps, guidance.
        condition: What is asked of the batch's images.
        indices: The images' numbers in the set, as many.
        seed: Seed of the set.
        guide: A weaker model to guide away from.
    """
    images = sample(module, condition, settings, seed, indices, guide)
    broken = len(images) - int(images.isfinite().flatten(1).all(1).sum())
    return SampledBatch(indices, condition.to("cpu"), module.encoder.decode(images), broken)


def check_finite(batch: SampledBatch, settings: Sampling) -> None:
    """Refuse a batch with images that show nothing.

    Raises:
        ValueError: If there is one, with where it may come from.
    """
    if batch.broken:
        raise ValueError(
            f"{batch.broken} of {len(batch.indices)} images have values that are not finite: the weights "
            f"have diverged, or the settings are too strong for them (guidance {settings.guidance:g}, "
            f"{settings.sampler}, {settings.steps} steps). Take an earlier checkpoint, or less guidance"
        )


def batch_ranges(count: int, batch_size: int) -> list[range]:
    """Cut `count` images into batches, the last one with what is left."""
    return [range(first, min(first + batch_size, count)) for first in range(0, count, batch_size)]
