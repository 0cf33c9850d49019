from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.fabric.loggers.logger import rank_zero_experiment
from lightning.pytorch.loggers import TensorBoardLogger
from lightning.pytorch.utilities import rank_zero_only
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import scalar

from lightning_modules.logs.board import description
from lightning_modules.utils.lightning_internals import writer_of
from lightning_modules.utils.tensorboard_internals import (
    BeginningWriter,
    add_summary,
    event_file,
    move_event_file,
)

_log = logging.getLogger(__name__)
_EVENTS = re.compile(r"events\.out\.tfevents\.(\d+)(\..*)")


class AttemptWriter(BeginningWriter):
    """TensorBoard's writer, whose files follow one another by name in the order in which they were begun.

    TensorBoard reads a run's files by name, which begins with the second of its start, and takes back what
    an earlier one has logged of later steps. Where a clock was set back, or two processes have begun within
    a second, the order would be another one, and what is taken back would be the newer.
    """

    def begun(self) -> None:
        """Give the file a name behind all others."""
        path = event_file(self)
        files = {each: _EVENTS.fullmatch(each.name) for each in path.parent.iterdir()}
        begun = {each: int(match[1]) for each, match in files.items() if match}
        earlier = [second for each, second in begun.items() if each != path]
        if path not in begun or not earlier or begun[path] > max(earlier):
            return
        ending = _EVENTS.sub(r"\2", path.name)
        try:
            move_event_file(self, path.with_name(f"events.out.tfevents.{max(earlier) + 1:010d}{ending}"))
        except OSError as error:
            _log.warning("%s may be read in the wrong order: %s", path, error)


class RunLogger(TensorBoardLogger):
    """TensorBoard events in the run directory, at the number of steps taken.

    Lightning counts the steps of its x axis from 0, so that what is measured after 200 steps would stand at
    199, next to images and checkpoints of step 200.

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

    @property
    @rank_zero_experiment
    def experiment(self) -> SummaryWriter:
        """The writer, made when it is first used."""
        return writer_of(self, self._make_writer)

    def _make_writer(self, options: dict[str, Any]) -> SummaryWriter:
        Path(self.log_dir).mkdir(parents=True, exist_ok=True)
        return AttemptWriter(log_dir=self.log_dir, **options)

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Write scalars; `step` counts from 0."""
        told = {name: value for name, value in metrics.items() if name != "epoch"}
        at = None if step is None else step + 1
        with self._unless_refused():
            for name in [name for name in told if name not in self._described]:
                if text := description(name):
                    summary = scalar(name, told.pop(name))
                    summary.value[0].metadata.summary_description = text
                    add_summary(self.experiment, summary, at)
            self._described |= metrics.keys()
            super().log_metrics(told, at)

    @rank_zero_only
    def save(self) -> None:
        """Bring what was logged to the disk, but not Lightning's `hparams.yaml`: `config.yaml` says more."""
        with self._unless_refused():
            self.experiment.flush()

    def finalize(self, status: str) -> None:
        """Do so for the last time."""
        with self._unless_refused():
            super().finalize(status)

    @contextmanager
    def _unless_refused(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:
            # Lightning turns any error of the writer into a ValueError.
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
