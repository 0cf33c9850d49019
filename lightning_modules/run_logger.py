from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger


class RunLogger(TensorBoardLogger):
    """TensorBoard events in the run directory, at the number of steps taken.

    Lightning counts the steps of its x axis from 0, so that what is measured after 200 steps would stand at
    199, beside pictures and checkpoints of step 200.

    Args:
        folder: The run directory.
        resumed_step: Steps that a resumed run starts with; what a killed process has logged of later ones is
            taken back. None where nothing was logged before.
    """

    def __init__(self, folder: Path, resumed_step: int | None = None) -> None:
        purge = None if resumed_step is None else resumed_step + 1
        super().__init__(folder.parent, "", folder.name, default_hp_metric=False, purge_step=purge)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars; `step` counts from 0."""
        super().log_metrics(metrics, None if step is None else step + 1)
