"""What a checkpoint's weights are."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from lightning_modules.checkpoints.opening import open_checkpoint


class CheckpointFacts(NamedTuple):
    """What a checkpoint's weights are."""

    step: int
    """The optimizer step they were saved at."""

    weights: str
    """`averaged` if `load_model` loads averaged weights (EMA), else `raw`."""


def checkpoint_facts(checkpoint: Path) -> CheckpointFacts:
    """Tell what a checkpoint's weights are, without loading them."""
    stored = open_checkpoint(checkpoint)
    # Lightning keeps the raw weights under this name where the model's own are averaged.
    return CheckpointFacts(stored["global_step"], "averaged" if "current_model_state" in stored else "raw")
