"""What the page's code must compute too, as Python computes it: the contents of frontend/tests/golden/.

`make golden` writes the files, the Python tests compare them with what Python computes today, and the page's
tests with what the page computes. Arrays are flat, (B, C, H, W); float32 numbers have as many digits as tell
them apart.
"""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.diffusion.tables import THRESHOLDS
from lightning_modules.encoders import RGB
from lightning_modules.sampling.image_noise import ImageNoise, InterpolatedNoise
from lightning_modules.sampling.settings import Sampling
from lightning_modules.utils.seeds import Stream, fold
from tests.frontend import pictures
from tests.helpers.places import REPOSITORY

FOLDER = REPOSITORY / "frontend" / "tests" / "golden"

NOT_ON_THE_PAGE: frozenset[str] = frozenset()
"""Samplers, schedules and thresholds that the page refuses with a sentence."""

SHAPE = (3, 2, 2)
SEEDS = (0, 1, 2**32 - 1, 2**32, 2**53 + 1, 2**64 - 1)
TAIL = 3.65
"""Numbers beyond come from the tail of the normal distribution, by the logarithm of the C library."""


def contents() -> dict[str, list[dict[str, Any]]]:
    """Return each file's records by the file's name."""
    return {
        "folds": list(folds()),
        "noise": list(noises()),
        "interpolations": list(interpolations()),
        "schedules": list(schedules()),
        "samples": list(samples()),
        "pixels": [pixels()],
        "tables": list(tables()),
        "pictures": list(pictures.records()),
    }


def write() -> None:
    """Write the files, a record a line, and the networks."""
    FOLDER.mkdir(exist_ok=True)
    for name, records in contents().items():
        lines = ",\n".join(json.dumps(record) for record in records)
        path(name).write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    pictures.write_networks(FOLDER)


def path(name: str) -> Path:
    """Return where a file is."""
    return FOLDER / f"{name}.json"


def folds() -> Iterator[dict[str, Any]]:
    """Yield derived seeds, as texts since JSON's numbers end at 2^53."""
    for seed, index in itertools.product(SEEDS, (0, 1, 49_999, 2**32)):
        yield {"seed": str(seed), "index": str(index), "folded": str(fold(seed, Stream.IMAGE, index))}


def noises() -> Iterator[dict[str, Any]]:
    """Yield two draws of some streams, and of a long one the digest of what is not from the tail."""
    for seed, indices in ((0, (0, 1)), (1, (3,)), (2**64 - 1, (49_999, 7))):
        noise = ImageNoise(seed, indices, SHAPE)
        yield {"seed": str(seed), "indices": indices, "draws": [numbers(noise()) for _ in range(2)]}
    draw = ImageNoise(5, [0], (1, 1, 100_000))().numpy().ravel()
    inside = draw[np.abs(draw) < TAIL]
    digest = hashlib.sha256(inside.astype("<f4").tobytes()).hexdigest()
    yield {"seed": "5", "indices": [0], "count": len(draw), "inside": len(inside), "sha256": digest}


def interpolations() -> Iterator[dict[str, Any]]:
    """Yield noise between that of two images."""
    shares = [0.0, 0.25, 0.5, 1.0]
    first, second = (ImageNoise(2, [index] * len(shares), SHAPE) for index in (0, 1))
    noise = InterpolatedNoise(first, second, torch.tensor(shares))
    yield {"seed": "2", "first": 0, "second": 1, "shares": shares, "draws": [numbers(noise())]}


def schedules() -> Iterator[dict[str, Any]]:
    """Yield the noise levels of every schedule."""
    ranges: tuple[dict[str, Any], ...] = ({}, {"sigma_min": 0.01, "sigma_max": 20.0, "shift": 3.0})
    for name, steps, others in itertools.product(on_the_page(SCHEDULES), (1, 2, 7, 20), ranges):
        settings = Sampling(schedule=name, steps=steps, **others)
        yield {"settings": settings.to_dict(), "sigmas": settings.sigmas().tolist()}


def samples() -> Iterator[dict[str, Any]]:
    """Yield what settings make of two images with the denoisers of `toy`."""
    for settings in sampled_settings():
        levels: list[float] = []
        images = settings.sample(toy(1.0), ImageNoise(4, (0, 9), SHAPE), toy(0.5), watching(levels))
        yield {
            "settings": settings.to_dict(),
            "nfe": settings.nfe,
            "sigmas": levels,
            "images": numbers(images),
        }


def sampled_settings() -> Iterator[Sampling]:
    """Yield settings with every sampler, schedule and threshold, and guidance of each kind."""
    for name, steps in itertools.product(on_the_page(SAMPLERS), (1, 2, 5, 12)):
        yield Sampling(sampler=name, steps=steps)
    for name, schedule in itertools.product(on_the_page(SAMPLERS), on_the_page(SCHEDULES)):
        yield Sampling(sampler=name, steps=6, schedule=schedule, shift=2.0, guidance=2.5)
    base = Sampling(sampler="heun", steps=6, guidance=4.0)
    for threshold in ("none", *on_the_page(THRESHOLDS)):
        for percentile, interval in ((0.9, (0.0, float("inf"))), (0.995, (0.1, 20.0))):
            yield dataclasses.replace(
                base, threshold=threshold, percentile=percentile, guidance_interval=interval
            )
    for guidance in (-1.0, 0.25, 1.5):
        yield dataclasses.replace(base, guidance=guidance)


def pixels() -> dict[str, Any]:
    """Return values of which many lie in the middle between two pixels."""
    values = torch.cat([torch.arange(-8, 264) / 255 - 1 + 1 / 512, torch.linspace(-1.2, 1.2, 241)])
    halves = torch.cat([values, (torch.arange(256) + 0.5) / 127.5 - 1])
    return {"values": numbers(halves), "pixels": RGB().decode(halves.reshape(1, 1, 1, -1)).ravel().tolist()}


def tables() -> Iterator[dict[str, Any]]:
    """Yield what the page says of each name, and the settings that are taken where none are given."""
    for name in on_the_page(SAMPLERS):
        row = SAMPLERS[name]
        about = {"title": row.title, "stages": row.stages, "stochastic": row.stochastic}
        yield {"table": "samplers", "name": name, **about}
    for table, rows in (("schedules", SCHEDULES), ("thresholds", THRESHOLDS)):
        for name in on_the_page(rows):
            yield {"table": table, "name": name, "title": rows[name].title}
    yield {"table": "defaults", **Sampling().to_dict()}


def on_the_page(table: dict[str, Any]) -> list[str]:
    """Return the names of a table that the page knows too."""
    return [name for name in table if name not in NOT_ON_THE_PAGE]


def toy(scale: float) -> Denoiser:
    """Return a denoiser of a few exact operations, not linear, which leaves [-1, 1] where it is guided.

    With `a = 1 / (1 + 4 sigma^2)` and a pattern of pixels `c` it is `y / (1 + |y| / 4)`, where `y` is
    `a x + (1 - a) c`.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        share = 1 / (1 + 4 * float(sigma[0]) ** 2)
        pattern = torch.tensor([(7 * i % 11 - 5) / 4 * scale for i in range(x[0].numel())])
        y = x * share + pattern.reshape(x.shape[1:]) * (1 - share)
        return y / (y.abs() * 0.25 + 1)

    return denoise


def watching(levels: list[float]) -> Callable[[Denoiser], Denoiser]:
    """Return what notes the noise levels at which a denoiser is evaluated."""

    def watched(denoiser: Denoiser) -> Denoiser:
        def noting(x: Tensor, sigma: Tensor) -> Tensor:
            levels.append(float(sigma[0]))
            return denoiser(x, sigma)

        return noting

    return watched


def numbers(values: Tensor | Sequence[float]) -> list[float]:
    """Return float32 numbers with as few digits as tell them apart."""
    flat: NDArray[np.float32] = np.asarray(values, dtype=np.float32).ravel()
    return [float(str(value)) for value in flat]


if __name__ == "__main__":
    write()
