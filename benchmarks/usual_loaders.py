"""The usual ways to load a folder of images, which data_path.py compares this project's with."""

from __future__ import annotations

import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.batches.finishing import normalized


def usual(image: Image.Image, size: int) -> Tensor:
    """The usual transform: shorter side to `size`, central square, a coin's flip, float32 in [-1, 1]."""
    image = image.convert("RGB")
    scale = size / min(image.size)
    image = image.resize([max(size, round(side * scale)) for side in image.size], Image.Resampling.BILINEAR)
    left, top = (image.width - size) // 2, (image.height - size) // 2
    image = image.crop((left, top, left + size, top + size))
    if torch.rand(()) < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1)
    return normalized(pixels.float())


class UsualFolder(Dataset[tuple[Tensor, int]]):
    """A folder the way tutorials read it."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths, self.size = paths, size

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        with Image.open(self.paths[index]) as image:
            return usual(image, self.size), 0


def usual_examples(examples: dict[str, list[Any]], size: int) -> dict[str, list[Tensor]]:
    """The same steps for `datasets`, which hands over lists of opened images."""
    return {"images": [usual(image, size) for image in examples["image"]]}


def pillow(paths: list[Path], size: int, batch: int, workers: int) -> DataLoader[Any]:
    return DataLoader(
        UsualFolder(paths, size),
        batch,
        shuffle=True,
        num_workers=workers,
        drop_last=True,
        persistent_workers=workers > 0,
    )


def hugging_face(folder: Path, size: int, batch: int, cache: Path) -> DataLoader[Any] | None:
    try:
        import datasets
    except ImportError:
        return None
    datasets.disable_progress_bars()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        images = datasets.load_dataset(
            "imagefolder", data_dir=str(folder), split="train", cache_dir=str(cache)
        )
    images = images.with_transform(partial(usual_examples, size=size))
    return DataLoader(images, batch, shuffle=True, drop_last=True)
