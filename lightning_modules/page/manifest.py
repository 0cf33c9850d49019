"""`model.json`: what a page has to know of the model that it samples from."""

from __future__ import annotations

import base64
import dataclasses
import shlex
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from datamodules.utils.io import file_digest
from lightning_modules.conditioning.class_labels import ClassLabels
from lightning_modules.encoders import RGB
from lightning_modules.module import DiffusionModule
from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.trained.trained import Trained

FORMAT_VERSION = 1

_PROBE_SIGMA = 1.0
"""Where the network changes the image most: its input and its output are of a size there."""


def check_shown(module: DiffusionModule) -> None:
    """Refuse a model that the page does not know how to run.

    Raises:
        ValueError: If it is one.
    """
    parts = (("images", module.encoder, RGB), ("conditions", module.conditioner, ClassLabels))
    for what, part, known in parts:
        if type(part) is not known:
            raise ValueError(
                f"the page knows {what} of {known.__name__} alone, and this model has {type(part).__name__}: "
                f"sample from it with `ninelives sample`"
            )


def describe_model(trained: Trained) -> dict[str, Any]:
    """Return what no file of the page says: names, shapes, the run's settings.

    Args:
        trained: The model.
    """
    module, sampling = trained.module, trained.sampling
    channels, height, width = module.image_shape
    conditional = not module.conditioner.unconditional
    title, run = names_of(trained)
    if sampling.own_guide is None:  # then there is no guide's file, and guidance is by label
        sampling = dataclasses.replace(sampling, guide_length=None)
    return {
        "format_version": FORMAT_VERSION,
        "title": title,
        "run": run,
        "step": trained.facts.step,
        "weights": trained.facts.weights,
        "parameters": sum(parameter.numel() for parameter in module.parameters()),
        "image": {"channels": channels, "height": height, "width": width},
        "classes": list(module.class_names),
        "null_label": len(module.class_names) if conditional else None,
        "label_guidance": conditional and module.cond_dropout > 0,
        "sampling": sampling.to_dict(),
    }


def names_of(trained: Trained) -> tuple[str, str]:
    """Return the names of a model's experiment and run; of a file by itself its name, and nothing."""
    home = trained.home
    folder = home.folder.resolve()  # `latest` is another run one day
    return (folder.parent.name, folder.name) if home.is_run else (trained.path.stem, "")


def commands(trained: Trained, place: Path, weights: str | None) -> dict[str, str]:
    """Return lines for a shell that do what the page does; no folder of the user's above the runs is named.

    Args:
        trained: The model.
        place: What the user named it by.
        weights: The weights' name, if one was asked for.
    """
    if place.is_absolute() or ".." in place.parts or not place.parts:
        title, run = names_of(trained)
        inside = trained.path.relative_to(trained.home.folder)
        of_run = Path("runs", title, run)
        # A file is one of several steps; a folder is its newest.
        place = (of_run / inside if place.is_file() else of_run) if run else Path(trained.path.name)
    chosen = [] if weights is None else ["--weights", weights]
    return {"sample": shlex.join(["ninelives", "sample", str(place), *chosen])}


@torch.no_grad()
def probe(module: DiffusionModule) -> dict[str, Any]:
    """Return a known question and its answer, by which a page tells whether a backend computes rightly.

    Args:
        module: The model, with its weights as they are stored.
    """
    noise = ImageNoise(0, [0], module.image_shape)()
    x = noise * (_PROBE_SIGMA**2 + 0.25) ** 0.5
    denoised = module(x, torch.full((1,), _PROBE_SIGMA), module.conditioner.read([0]))
    return {"x": _encoded(x), "sigma": _PROBE_SIGMA, "label": 0, "denoised": _encoded(denoised)}


def part(folder: Path, path: str) -> dict[str, Any]:
    """Return where a file of the page is, its size and its digest."""
    file = folder / path
    return {"path": path, "bytes": file.stat().st_size, "sha256": file_digest(file)}


def digests(folder: Path, files: Iterable[Path]) -> dict[str, str]:
    """Return the SHA-256 of files by their paths in a folder."""
    return {file.relative_to(folder).as_posix(): file_digest(file) for file in sorted(files)}


def _encoded(values: Tensor) -> str:
    """Return values as base64 of little-endian float32."""
    return base64.b64encode(values.contiguous().numpy().astype("<f4").tobytes()).decode()
