"""What an evaluation takes from a run directory: its data and its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import torch
import yaml
from jsonargparse import ArgumentError, ArgumentParser

from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.base import DiffusionModule
from lightning_modules.metrics.pairs import EvaluationError
from lightning_modules.models import load_model

Weights = Literal["ema", "raw"]


def run_data(checkpoint: Path, root: Path | None = None) -> ImageFolderDataModule:
    """Open the data that a run was trained on.

    Args:
        checkpoint: A checkpoint of the run, beside whose folder `config.yaml` lies.
        root: The folder of images, where it has moved since.

    Raises:
        FileNotFoundError: If the run's configuration is not there.
        DataError: If the images cannot be opened.
        ValueError: If the configuration is none of this project's.
    """
    config = checkpoint.parent.parent / "config.yaml"
    if not config.is_file():
        raise FileNotFoundError(
            f"{config} is not there, which says what the run was trained on; give a checkpoint in its run"
        )
    section: dict[str, Any] = yaml.safe_load(config.read_text()).get("data") or {}
    if root is not None:
        section["root"] = str(root)
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(ImageFolderDataModule, "data")
    try:
        data: ImageFolderDataModule = parser.instantiate_classes(parser.parse_object({"data": section})).data
    except ArgumentError as error:
        raise ValueError(f"the data section of {config} cannot be used ({error})") from error
    data.prepare_data()
    data.setup()
    return data


def load_weights(checkpoint: Path, weights: Weights, device: str = "cpu") -> tuple[DiffusionModule, str]:
    """Load a model with its averaged or its raw weights, and say in words which they are.

    Raises:
        EvaluationError: If the averaged weights are asked for and the run kept none.
        ValueError: If the file is not a whole checkpoint.
    """
    module = load_model(checkpoint, device)
    stored = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
    if "current_model_state" not in stored:
        if weights == "ema":
            raise EvaluationError(
                f"{checkpoint} holds no averaged weights; evaluate the raw ones: --weights raw"
            )
        return module, "raw weights (the run keeps no average)"
    if weights == "raw":
        module.load_state_dict(stored["current_model_state"])
        return module, "raw weights"
    config = checkpoint.parent.parent / "config.yaml"
    decay = yaml.safe_load(config.read_text())["ema"]["decay"] if config.is_file() else None
    return module, "EMA weights" + (f" (decay {decay})" if decay is not None else "")


def checkpoint_step(checkpoint: Path) -> int:
    """Return the step that a checkpoint was saved at."""
    return int(torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"])
