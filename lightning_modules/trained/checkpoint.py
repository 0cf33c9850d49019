"""Loading a model from a checkpoint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lightning_modules.checkpoints.errors import DamagedCheckpointError
from lightning_modules.checkpoints.opening import open_checkpoint, verify
from lightning_modules.ema.post_hoc import KEY
from lightning_modules.models import MODELS
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.memory import is_out_of_memory


def load_model(checkpoint: Path, device: str = "cpu") -> DiffusionModule:
    """Load a model with its averaged weights, and the other averages that were kept.

    Args:
        checkpoint: A file that training saved.
        device: Where to put the model.

    Raises:
        FileNotFoundError: If the file is not there.
        DamagedCheckpointError: If it is not a whole checkpoint of one of the models.
        UnsafeCheckpointError: If loading it could run code.
    """
    verify(checkpoint)
    stored = open_checkpoint(checkpoint)
    kind = _model_of(checkpoint, stored)
    try:
        module = kind.load_from_checkpoint(checkpoint, map_location=device, weights_only=True)
        module.ema = {float(length): kept["weights"] for length, kept in stored.get(KEY, {}).items()}
        return module
    except (RuntimeError, LookupError, TypeError, ValueError, AttributeError) as error:
        if is_out_of_memory(error):
            raise
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise DamagedCheckpointError(
            f"{checkpoint} is not a whole checkpoint of a model of this project ({reason})"
        ) from error


def checkpoint_classes(checkpoint: Path) -> tuple[str, ...]:
    """Return the classes of a checkpoint's model, without loading it."""
    return tuple(_hyper_parameters(checkpoint)["class_names"])


def image_size(checkpoint: Path) -> int:
    """Return the side in pixels of the images of a checkpoint's model, without loading it."""
    return int(_hyper_parameters(checkpoint)["image_size"])


def _hyper_parameters(checkpoint: Path) -> dict[str, Any]:
    stored = open_checkpoint(checkpoint)
    _model_of(checkpoint, stored)
    found: dict[str, Any] = stored["hyper_parameters"]
    return found


def _model_of(checkpoint: Path, stored: dict[str, Any]) -> type[DiffusionModule]:
    """Return the model that a checkpoint is of.

    Raises:
        DamagedCheckpointError: If it is of none.
    """
    name = stored.get("model")
    if name not in MODELS:
        raise DamagedCheckpointError(
            f"{checkpoint} is not a whole checkpoint of a model of this project: it says {name} where one of "
            f"{', '.join(MODELS)} is expected"
        )
    return MODELS[name]
