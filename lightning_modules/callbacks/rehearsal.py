"""What callbacks will do in the middle of a run is tried before it, on a small scale."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Protocol, runtime_checkable

import numpy as np
import torch
from torch import Tensor

from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.module import DiffusionModule
from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.sampling.settings import Sampling

_SIDE = 4  # pixels
_IMAGES = 2
_WORSE = 0.6


@runtime_checkable
class Rehearses(Protocol):
    """A callback that can try its settings without training."""

    def rehearse(self, module: DiffusionModule, data: ImageFolderDataModule | None) -> None:
        """Try them, in well under a second.

        Raises:
            ValueError: If they cannot work, with the option to change.
        """


def rehearse(
    callbacks: Iterable[object], module: DiffusionModule, data: ImageFolderDataModule | None
) -> None:
    """Let callbacks try what they will do, and leave no trace in the weights or in any generator.

    Args:
        callbacks: Those that can are asked.
        module: The model.
        data: Its data, set up; None if they are on another machine.

    Raises:
        ValueError: If one of them cannot work, with the option to change.
    """
    with _untouched(), torch.no_grad():
        for callback in callbacks:
            if isinstance(callback, Rehearses):
                callback.rehearse(module, data)


def rehearse_sampling(settings: Sampling, section: str, seed: int) -> None:
    """Sample two tiny images with a stand-in for the network, every step and setting as they are.

    Args:
        settings: How the callback will sample.
        section: Its section of the configuration.
        seed: Seed of its images.

    Raises:
        ValueError: If it fails, or what is sampled is not finite.
    """
    try:
        noise = ImageNoise(seed, range(_IMAGES), (3, _SIDE, _SIDE), torch.device("cpu"))
        images = settings.sample(_stand_in, noise, partial(_stand_in, spread=_WORSE))
    except (ArithmeticError, RuntimeError, TypeError, ValueError) as error:
        raise ValueError(f"--{section}.sampling cannot sample: {error}.") from error
    if not images.isfinite().all():
        raise ValueError(
            f"--{section}.sampling gives what is not finite, even from a perfect denoiser: look at its "
            f"sigma_min, sigma_max, guidance and churn."
        )


def _stand_in(x: Tensor, sigma: Tensor, spread: float = 0.5) -> Tensor:
    """Denoise as the best denoiser of white noise of the data's spread does."""
    variance = sigma.to(x.dtype).square()
    return x * (spread**2 / (spread**2 + variance)).view(-1, 1, 1, 1)


@contextmanager
def _untouched() -> Iterator[None]:
    """Keep the generators of torch, numpy and Python as they are in a block."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_available() else []
    kept = random.getstate(), np.random.get_state()  # noqa: NPY002
    try:
        with torch.random.fork_rng(devices=devices):
            yield
    finally:
        random.setstate(kept[0])
        np.random.set_state(kept[1])  # noqa: NPY002
