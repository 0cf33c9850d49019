from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger

_log = logging.getLogger(__name__)


class RunLogger(TensorBoardLogger):
    """TensorBoard events in the run directory, at the number of steps taken.

    Lightning counts the steps of its x axis from 0, so that what is measured after 200 steps would stand at
    199, beside pictures and checkpoints of step 200.

    Where the disk refuses the events, training goes on without them. The writer writes no more after an
    error, so that a run logs again when it is resumed.

    Args:
        folder: The run directory.
        resumed_step: Steps that a resumed run starts with; what a killed process has logged of later ones is
            taken back. None where nothing was logged before.
    """

    def __init__(self, folder: Path, resumed_step: int | None = None) -> None:
        purge = None if resumed_step is None else resumed_step + 1
        super().__init__(folder.parent, "", folder.name, default_hp_metric=False, purge_step=purge)
        self._refused = False

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars; `step` counts from 0."""
        with self._unless_refused():
            super().log_metrics(metrics, None if step is None else step + 1)

    def save(self) -> None:
        """Bring what was logged to the disk."""
        with self._unless_refused():
            super().save()

    def finalize(self, status: str) -> None:
        """Do so for the last time."""
        with self._unless_refused():
            super().finalize(status)

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            # Lightning makes a ValueError of whatever the writer raises.
            if not isinstance(error, OSError) and not isinstance(
                error.__cause__ or error.__context__, OSError
            ):
                raise
            if not self._refused:
                _log.error(
                    "Training goes on, but no more of it is logged in this process: %s",
                    error.__cause__ or error,
                )
            self._refused = True
