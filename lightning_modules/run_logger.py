from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard.summary import scalar

from lightning_modules.board import description

_log = logging.getLogger(__name__)


class RunLogger(TensorBoardLogger):
    """TensorBoard events in the run directory, at the number of steps taken.

    Lightning counts the steps of its x axis from 0, so that what is measured after 200 steps would stand at
    199, beside pictures and checkpoints of step 200.

    It leaves Lightning's `epoch` out, which is 0 for ever, and says of each curve what it is.

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
        self._described: set[str] = set()

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars; `step` counts from 0."""
        told = {name: value for name, value in metrics.items() if name != "epoch"}
        at = None if step is None else step + 1
        with self._unless_refused():
            for name in [name for name in told if name not in self._described]:
                if text := description(name):
                    summary = scalar(name, told.pop(name))  # type: ignore[no-untyped-call]
                    summary.value[0].metadata.summary_description = text
                    self.experiment.file_writer.add_summary(summary, at)
            self._described |= metrics.keys()
            super().log_metrics(told, at)

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
