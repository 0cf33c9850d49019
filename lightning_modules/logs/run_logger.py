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
from torch.utils.tensorboard.writer import FileWriter

from lightning_modules.logs.board import description

_log = logging.getLogger(__name__)
_EVENTS = re.compile(r"events\.out\.tfevents\.(\d+)(\..*)")


class AttemptWriter(SummaryWriter):
    """TensorBoard's writer, whose files follow one another by name in the order in which they were begun.

    TensorBoard reads a run's files by name, which begins with the second of its start, and takes back what
    an earlier one has logged of later steps. Where a clock was set back, or two processes have begun within
    a second, the order would be another one, and what is taken back would be the newer.
    """

    def _get_file_writer(self) -> FileWriter:
        begins = self.all_writers is None or self.file_writer is None
        writer: FileWriter = super()._get_file_writer()  # type: ignore[no-untyped-call]
        if begins:
            self.flush()
            _put_last(writer.event_writer)
        return writer


def _put_last(writer: Any) -> None:  # noqa: ANN401
    """Give the file of an event writer, which has nothing left to write, a name behind all others."""
    path = Path(writer._file_name)
    begun = {each: int(match[1]) for each in path.parent.iterdir() if (match := _EVENTS.fullmatch(each.name))}
    match = _EVENTS.fullmatch(path.name)
    earlier = [second for each, second in begun.items() if each != path]
    if match is None or not earlier or int(match[1]) > max(earlier):
        return
    last = path.with_name(f"events.out.tfevents.{max(earlier) + 1:010d}{match[2]}")
    try:
        path.rename(last)
    except OSError as error:
        _log.warning("%s may be read in the wrong order: %s", path, error)
        return
    writer._file_name = str(last)
    # TensorFlow's own file keeps its descriptor; TensorBoard's opens it by name for every write.
    writer._general_file_writer.filename = str(last).encode()


def add_summary(writer: SummaryWriter, summary: object, step: int | None = None) -> None:
    """Write a summary that no method of the writer makes, also after the writer was closed once."""
    writer._get_file_writer().add_summary(summary, step)  # type: ignore[no-untyped-call]


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
        if self._experiment is None:
            Path(self.log_dir).mkdir(parents=True, exist_ok=True)
            self._experiment = AttemptWriter(log_dir=self.log_dir, **self._kwargs)
        return self._experiment

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
