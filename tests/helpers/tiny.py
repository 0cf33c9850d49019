"""What the tests of networks, modules and callbacks share: everything as small as it can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.loggers import Logger
from torch import Tensor, nn

from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.conditioning.class_labels import ClassCondition
from lightning_modules.models import DiTDiffusion, UNetDiffusion
from lightning_modules.module import DiffusionModule
from lightning_modules.networks.config import NetworkConfig
from lightning_modules.networks.dit import DiTConfig
from lightning_modules.networks.unet import UNetConfig
from lightning_modules.utils.differences import first_difference

SIZE = 8
CLASSES = ("a", "b")
KINDS = ("dit", "unet")
DIT = {"patch_size": 2, "width": 16, "depth": 2, "heads": 2}
UNET = {"channels": (8, 16), "blocks": 1, "attention": (4,), "head_width": 8}

Config = TypeVar("Config", bound=NetworkConfig)


def module(kind: str = "dit", **options: Any) -> DiffusionModule:
    """A model of 8 x 8 pixels and two classes, the same weights each time."""
    torch.manual_seed(0)
    options = {"image_size": SIZE, "class_names": CLASSES, **options}
    if kind == "dit":
        return DiTDiffusion(network=config(DiTConfig, DIT, options), **options)
    return UNetDiffusion(network=config(UNetConfig, UNET, options), **options)


def config(kind: type[Config], smallest: Mapping[str, Any], options: dict[str, Any]) -> Config:
    """A network's shape, with those of the options that are its own, which are taken out of them."""
    own = {field.name for field in dataclasses.fields(kind)} & options.keys()
    return kind(**{**smallest, **{name: options.pop(name) for name in own}})


def classes(*labels: int) -> ClassCondition:
    """Ask for classes."""
    return ClassCondition(torch.tensor(labels))


def randomize(network: nn.Module, seed: int = 0) -> nn.Module:
    """Give every parameter a random value of a size that keeps the activations' scale."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            std = parameter[0].numel() ** -0.5 if parameter.ndim > 1 else 0.5
            values = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
            parameter.copy_(std * values)
    return network


def draw(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def data(image_folder: Path, **options: Any) -> ImageFolderDataModule:
    settings = {"image_size": SIZE, "batch_size": 4, "val_fraction": 0.25}
    return ImageFolderDataModule(
        root=image_folder, cache_dir=image_folder.parent / "cache", **{**settings, **options}
    )


def trainer(folder: Path, callbacks: Sequence[Callback] = (), **options: Any) -> Trainer:
    """A silent Trainer on the CPU that validates only if `val_check_interval` is given."""
    quiet = {
        "logger": False,
        "enable_checkpointing": any(isinstance(c, Checkpoint) for c in callbacks),
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
        "check_val_every_n_epoch": None,
        "val_check_interval": 10**9,
    }
    if "val_check_interval" not in options:
        quiet |= {"limit_val_batches": 0}
    return Trainer(
        accelerator="cpu", default_root_dir=folder, callbacks=list(callbacks), **{**quiet, **options}
    )


def fit(
    folder: Path,
    model: DiffusionModule,
    images: ImageFolderDataModule,
    callbacks: Sequence[Callback] = (),
    ckpt_path: Path | None = None,
    **options: Any,
) -> Trainer:
    run = trainer(folder, callbacks, **options)
    run.fit(model, datamodule=images, ckpt_path=ckpt_path, weights_only=True)
    return run


def without_trainer(model: DiffusionModule, step: int = 0, accumulation: int = 1) -> DiffusionModule:
    """Let a model's steps be called by hand, as if a Trainer were at `step`."""
    stand_in = SimpleNamespace(global_step=step, accumulate_grad_batches=accumulation, global_rank=0)
    model.trainer = stand_in
    model.log = lambda *_, **__: None
    return model


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def load(checkpoint: Path) -> dict[str, Any]:
    return torch.load(checkpoint, weights_only=True)


def assert_bitwise_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    sides = ({name: value.detach() for name, value in each.items()} for each in (one, other))
    assert first_difference(*sides) is None


class EachStep(Callback):
    """Note what `look(trainer, module)` returns after every optimizer step."""

    def __init__(self, look: Any) -> None:
        self.look = look
        self.seen: dict[int, Any] = {}

    def on_train_batch_end(self, trainer: Trainer, pl_module: DiffusionModule, *_: Any) -> None:
        if trainer.global_step and trainer.global_step not in self.seen:
            self.seen[trainer.global_step] = self.look(trainer, pl_module)


class Memory(Logger):
    """A logger that remembers."""

    name, version = "memory", 0

    def __init__(self) -> None:
        super().__init__()
        self.metrics: dict[str, dict[int, float]] = {}

    def log_hyperparams(self, *_: Any) -> None:
        """Not looked at."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        for name, value in metrics.items():
            self.metrics.setdefault(name, {})[step] = value


def batches(images: ImageFolderDataModule, count: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The first batches of training as the model sees them."""
    images.prepare_data()
    images.setup("fit")
    loader = iter(images.train_dataloader())
    for _ in range(count):
        yield images.on_after_batch_transfer(next(loader), 0)
