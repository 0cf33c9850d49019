"""Loading a model with one of the sets of weights that a run has."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, NamedTuple

from torch import Tensor

from lightning_modules.checkpoints.opening import open_checkpoint
from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.ema.names import EMA, RAW, length_in
from lightning_modules.ema.post_hoc import (
    KEY,
    described,
    is_from_the_beginning,
    reconstruct,
)
from lightning_modules.module import DiffusionModule
from lightning_modules.run.finding import run_config
from lightning_modules.trained.checkpoint import load_model


class LoadedWeights(NamedTuple):
    """A model, and which weights it has."""

    module: DiffusionModule
    kind: Literal["averaged", "raw"]
    note: str
    """What more is known of them."""

    @property
    def words(self) -> str:
        """Which weights they are: `EMA weights (decay 0.99)`."""
        kind = "EMA" if self.kind == "averaged" else "raw"
        return f"{kind} weights" + (f" ({self.note})" if self.note else "")


def load_weights(checkpoint: Path, weights: str = EMA, device: str = "cpu") -> LoadedWeights:
    """Load a model with the weights of a name, and say which they are.

    Args:
        checkpoint: A file that training saved.
        weights: `ema`, the run's main average; `raw`, what the optimizer left; or `ema=0.1`, the average of
            this relative length, which is reconstructed from the run's checkpoints where it was not kept.
        device: Where to put the model.

    Raises:
        ValueError: If the file is not a whole checkpoint, or the run cannot give these weights.
    """
    length = length_in(weights)
    module = load_model(checkpoint, device)
    stored = open_checkpoint(checkpoint)
    if length is not None:
        parameters, note = _of_length(checkpoint, stored, length)
        module.load_state_dict(stored["state_dict"] | parameters)
        return LoadedWeights(module, "averaged", note)
    if "current_model_state" not in stored:
        if weights == EMA:
            raise ValueError(f"{checkpoint} holds no averaged weights; take the raw ones: --weights {RAW}")
        return LoadedWeights(module, "raw", "the run keeps no average")
    if weights == RAW:
        module.load_state_dict(stored["current_model_state"])
        return LoadedWeights(module, "raw", "")
    return LoadedWeights(module, "averaged", _main_average(checkpoint))


def _of_length(checkpoint: Path, stored: dict[str, Any], length: float) -> tuple[dict[str, Tensor], str]:
    """Return the average of a length at a checkpoint's step, and what it is."""
    average = stored.get(KEY, {}).get(str(length))
    step = int(stored["global_step"])
    if average is not None and is_from_the_beginning(length, average["began"], step):
        return average["weights"], f"length {length:g}"
    try:
        found = reconstruct(checkpoints_in(checkpoint.resolve().parent) or [checkpoint], length, step)
    except ValueError as error:
        raise ValueError(f"{checkpoint}: {error}") from error
    return found.weights, f"length {length:g}, {described(found)}"


def _main_average(checkpoint: Path) -> str:
    config = run_config(checkpoint)
    if config is None:
        return ""
    settings = config.get("ema")
    if not isinstance(settings, dict):
        return ""
    name = "decay" if settings.get("length") is None else "length"
    return f"{name} {settings.get(name)}"
