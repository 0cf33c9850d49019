"""What the tests of the data modules share: folders to make, a module that notes what it is given."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch.utils.data import DataLoader

from datamodules.batches.finishing import ImageBatch
from datamodules.image_folder import ImageFolderDataModule

MakeFolder = Callable[..., Path]

SIZE = 8


class Recorder(LightningModule):
    """Trains one number, and writes down what it was given: per optimizer step the sums of the images."""

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.folder = folder
        self.steps: dict[int, list[float]] = {}
        self.val: list[float] = []
        self.value_range = (float("inf"), -float("inf"))

    def training_step(self, batch: ImageBatch, batch_idx: int) -> torch.Tensor:
        assert batch.images.dtype == torch.float32
        low, high = batch.images.min().item(), batch.images.max().item()
        self.value_range = (min(low, self.value_range[0]), max(high, self.value_range[1]))
        self.steps.setdefault(self.global_step, []).extend(fingerprints(batch))
        return self.weight * batch.images.mean()

    def validation_step(self, batch: ImageBatch, batch_idx: int) -> None:
        self.val.extend(fingerprints(batch))

    def on_train_end(self) -> None:
        if self.folder:
            seen = {"steps": self.steps, "val": self.val}
            (self.folder / f"rank{self.global_rank}.json").write_text(json.dumps(seen))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fingerprints(batch: ImageBatch) -> list[float]:
    """One number per image that tells images and flips apart, exact in float32 and uint8."""
    images = batch.images
    if images.dtype != torch.uint8:
        images = ((images + 1) * 127.5).round()
    weights = torch.arange(1, images[0].numel() + 1, dtype=torch.float64)
    return (images.double().flatten(1) @ weights).tolist()


def data_module(root: Path, **options: Any) -> ImageFolderDataModule:
    return ImageFolderDataModule(root=root, **{"image_size": SIZE, "batch_size": 4, **options})


def ready(root: Path, **options: Any) -> ImageFolderDataModule:
    module = data_module(root, **options)
    module.prepare_data()
    module.setup("fit")
    return module


def trainer(tmp_path: Path, **options: Any) -> Trainer:
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False}
    return Trainer(
        accelerator="cpu", default_root_dir=tmp_path, **{**quiet, "enable_model_summary": False, **options}
    )


def fit(
    tmp_path: Path, module: ImageFolderDataModule, ckpt_path: Path | None = None, **options: Any
) -> Recorder:
    recorder = Recorder()
    trainer(tmp_path, **options).fit(recorder, datamodule=module, ckpt_path=ckpt_path)
    return recorder


def first(loader: DataLoader[ImageBatch], count: int) -> list[ImageBatch]:
    return list(itertools.islice(loader, count))


def assert_same(one: list[ImageBatch], two: list[ImageBatch]) -> None:
    assert len(one) == len(two)
    for a, b in zip(one, two, strict=True):
        torch.testing.assert_close(a.images, b.images, rtol=0, atol=0)
        torch.testing.assert_close(a.labels, b.labels, rtol=0, atol=0)


def joined(batches: list[ImageBatch]) -> ImageBatch:
    return ImageBatch(torch.cat([b.images for b in batches]), torch.cat([b.labels for b in batches]))
