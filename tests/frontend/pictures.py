"""Whole pictures by small networks, which the page's code must make too: graphs as ONNX, pixels by torch.

The networks are random, not trained: what is compared is arithmetic.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch

from lightning_modules.conditioning.class_labels import ClassCondition
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.diffusion.samplers.sampler import NoiseSource
from lightning_modules.export.onnx_file import write_graph
from lightning_modules.export.stored_weights import round_weights
from lightning_modules.module import DiffusionModule
from lightning_modules.sampling.generate import sample_from
from lightning_modules.sampling.image_noise import ImageNoise, InterpolatedNoise
from lightning_modules.sampling.settings import Sampling
from tests.helpers import tiny

INDICES = (0, 1, 2, 41)
SEED = 3
SHARE = 0.375


class Pictures(NamedTuple):
    """What is sampled from which networks."""

    network: str
    settings: Sampling
    guide: str | None = None
    toward: int | None = None
    """Number of the image to whose noise they are `SHARE` of the way."""


PICTURES = (
    Pictures("dit", Sampling(steps=8)),
    Pictures("dit", Sampling(sampler="heun", steps=6, guidance=3.0, guidance_interval=(0.1, 30.0))),
    Pictures("dit", Sampling(sampler="unipc", steps=8, schedule="flow", guidance=5.0, threshold="dynamic")),
    Pictures("dit", Sampling(sampler="ancestral", steps=8, guidance=2.0, guide_length=0.1), guide="guide"),
    Pictures("dit", Sampling(sampler="stochastic_heun", steps=4, guidance=1.5), toward=5),
    Pictures("unet", Sampling(sampler="dpmpp_3m", steps=10, schedule="log_snr", threshold="clip")),
)


def networks() -> dict[str, DiffusionModule]:
    """Return small models with random weights, the guide's near those of the model that it guides."""
    smallest = {"width": 8, "depth": 1, "heads": 1}
    dit, guide = tiny.module("dit", **smallest), tiny.module("dit", **smallest)
    unet = tiny.module("unet", class_names=("images",), channels=(8,), attention=())
    for seed, module in enumerate((dit, guide, unet)):
        tiny.randomize(module, seed)
        module.eval()
        for weight in module.parameters():
            weight.data.mul_(0.6)  # so that most pixels are neither black nor white
    for weight, strong in zip(guide.parameters(), dit.parameters(), strict=True):
        weight.data.lerp_(strong.data, 0.8)
    found = {"dit": dit, "guide": guide, "unet": unet}
    for module in found.values():
        round_weights(module, "int16")
    return found


def records() -> Iterator[dict[str, Any]]:
    """Yield what each picture is made with, and its pixels: planes of red, green and blue."""
    modules = networks()
    for network, settings, guide, toward in PICTURES:
        module = modules[network]
        weak = modules[guide] if guide else None
        images = sample_from(module, condition(module), settings, noise(module.image_shape, toward), weak)
        yield {
            "network": _file(network),
            "guide": None if guide is None else _file(guide),
            "shape": list(module.image_shape),
            "null_label": None if module.conditioner.unconditional else len(module.class_names),
            "labels": [0, 1, 1, 0],
            "seed": str(SEED),
            "indices": list(INDICES),
            "toward": toward,
            "share": 0 if toward is None else SHARE,
            "settings": settings.to_dict(),
            "pixels": module.encoder.decode(images).flatten(1).tolist(),
        }


def noise(shape: tuple[int, int, int], toward: int | None) -> NoiseSource:
    """Return the images' noise, or what lies between theirs and another image's."""
    own = ImageNoise(SEED, INDICES, shape)
    if toward is None:
        return own
    other = ImageNoise(SEED, [toward] * len(INDICES), shape)
    return InterpolatedNoise(own, other, torch.full((len(INDICES),), SHARE))


def condition(module: DiffusionModule) -> Condition:
    """Return what is asked of the images."""
    if module.conditioner.unconditional:
        return module.conditioner.null(len(INDICES))
    condition: ClassCondition = tiny.classes(0, 1, 1, 0)
    return condition


def write_networks(folder: Path) -> None:
    """Write the networks as ONNX."""
    for name, module in networks().items():
        (folder / _file(name)).parent.mkdir(parents=True, exist_ok=True)
        write_graph(module, folder / _file(name), "int16", unused_inputs=False)


def _file(network: str) -> str:
    return f"networks/{network}.onnx"
