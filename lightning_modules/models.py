"""The models there are, and loading one from a checkpoint."""

from __future__ import annotations

import pickle
from pathlib import Path

import torch

from lightning_modules.base import DiffusionModule
from lightning_modules.dit import DiTDiffusion
from lightning_modules.unet import UNetDiffusion

MODELS: dict[str, type[DiffusionModule]] = {model.__name__: model for model in (DiTDiffusion, UNetDiffusion)}


def load_model(checkpoint: Path, device: str = "cpu") -> DiffusionModule:
    """Load a model with its averaged weights.

    Args:
        checkpoint: A file that training saved.
        device: Where to put the model.

    Raises:
        ValueError: If the file is not a whole checkpoint of one of the models.
    """
    try:
        name = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["model"]
        return MODELS[name].load_from_checkpoint(checkpoint, map_location=device, weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, KeyError, TypeError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"{checkpoint} is not a whole checkpoint of a model of this project ({reason})"
        ) from error


def checkpoint_step(checkpoint: Path) -> int:
    """Return the optimiser step that a checkpoint was saved at."""
    step: int = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)["global_step"]
    return step
