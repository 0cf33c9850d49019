from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.lightning_internals import callback_of

logger = logging.getLogger(__name__)


class VolumeCommit(StepCallback, Checkpoint):
    """Make checkpoints outlive the container, each once it is whole.

    A file on a network volume is lost with its container until it has been committed. Being a `Checkpoint`
    listed after `StepCheckpoint`, this sees each of its hooks when the file has been written, or the writer
    been waited for. A commit runs during training; where one fails it is logged and tried again, and
    training goes on.

    Args:
        commit: Commits the volume, and raises where it cannot.
        retry_seconds: Time before a failed commit is tried again; doubled at each further failure.
        last_attempts: Attempts of the commit at the end, and on an exception, after which nothing follows.

    Attributes:
        committed: The newest checkpoint that is known to be committed.
        failures: Commits that failed.
    """

    def __init__(
        self, commit: Callable[[], None], retry_seconds: float = 15.0, last_attempts: int = 3
    ) -> None:
        self.committed: Path | None = None
        self.failures = 0
        self._commit, self._retry_seconds, self._last_attempts = commit, retry_seconds, last_attempts
        self._running: threading.Thread | None = None
        self._not_before = 0.0
        self._failed_in_a_row = 0

    def on_step_start(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Commit the newest whole checkpoint, if it is not committed and no commit is running."""
        newest = self._newest(trainer)
        if newest in (None, self.committed) or self._busy() or time.monotonic() < self._not_before:
            return
        self._running = threading.Thread(target=self._try, args=(newest,), name="volume-commit", daemon=True)
        self._running.start()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Commit what is there: another container may start before this one has ended."""
        self.flush(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Commit the last checkpoint, with the logs and pictures."""
        self.flush(trainer)

    def flush(self, trainer: Trainer) -> None:
        """Commit now, also what is committed already; a failure is only logged."""
        if not trainer.is_global_zero:
            return
        if self._running is not None:
            self._running.join()
        newest = self._newest(trainer)
        for attempt in range(self._last_attempts):
            if self._try(newest):
                return
            if attempt + 1 < self._last_attempts:
                threading.Event().wait(min(2.0**attempt, self._retry_seconds))

    def _try(self, newest: Path | None) -> bool:
        started = time.monotonic()
        try:
            self._commit()
        except Exception as error:
            self.failures += 1
            self._failed_in_a_row += 1
            wait = self._retry_seconds * 2 ** (self._failed_in_a_row - 1)
            self._not_before = time.monotonic() + min(wait, 600.0)
            logger.error("Commit failed (%s: %s); it is tried again.", type(error).__name__, error)
            return False
        self._failed_in_a_row = 0
        self.committed = newest
        if newest is not None:
            logger.info("Committed %s in %.1f s.", newest.name, time.monotonic() - started)
        return True

    def _busy(self) -> bool:
        return self._running is not None and self._running.is_alive()

    @staticmethod
    def _newest(trainer: Trainer) -> Path | None:
        """The newest whole checkpoint on the process that writes them; None on the others."""
        if not trainer.is_global_zero:
            return None
        checkpoint = callback_of(trainer, StepCheckpoint)
        return None if checkpoint is None else checkpoint.newest_whole
