"""The sampling settings that a checkpoint has of its run."""

from __future__ import annotations

from pathlib import Path

from lightning_modules.checkpoints.errors import DamagedCheckpointError
from lightning_modules.checkpoints.opening import open_checkpoint
from lightning_modules.sampling.settings import Sampling

SAMPLING = "sampling"
"""Entry of a checkpoint: how its run samples its grids, `Sampling.to_dict`."""


def run_sampling(checkpoint: Path) -> Sampling:
    """Return how a checkpoint's run samples its own grids, which the checkpoint says wherever it lies.

    The defaults, if the run was trained without sample grids.

    Raises:
        ValueError: If it is no whole checkpoint.
    """
    stored = open_checkpoint(checkpoint).get(SAMPLING)
    if stored is None:
        return Sampling()
    try:
        return Sampling.from_dict(stored)
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedCheckpointError(
            f"{checkpoint}: its sampling settings cannot be used ({error})"
        ) from error
