from __future__ import annotations

import logging
import math
import time
from os import PathLike
from pathlib import Path
from typing import Any, Literal

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint

from datamodules.image_folder import ImageFolderDataModule
from lightning_modules.callbacks.base import StepCallback
from lightning_modules.callbacks.telemetry import between_steps
from lightning_modules.checkpoints.checkpoint_io import WholeCheckpointIO
from lightning_modules.checkpoints.names import is_checkpoint, path_of, step_of
from lightning_modules.checkpoints.retention import delete_checkpoints, steps_to_delete
from lightning_modules.checkpoints.whole import checkpoints_in, point_last
from lightning_modules.module import DiffusionModule
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.experiment import name_latest
from lightning_modules.run.signals import StopRequestedError, StopSignals
from lightning_modules.utils.lightning_internals import (
    callbacks_of,
    is_fast_dev_run,
    replace_signal_handlers,
)
from lightning_modules.utils.memory import is_out_of_memory
from lightning_modules.utils.ranges import at_least, check_ranges

logger = logging.getLogger(__name__)

Best = Literal["min", "max"]
OnError = Literal["continue", "stop"]


class StepCheckpoint(StepCallback, Checkpoint):
    """Save whole checkpoints between steps, `checkpoints/step=00012000.ckpt`, and stop there when asked.

    A checkpoint stands after a step's logs, pictures and validation and before the next step's first
    micro-batch. `last.ckpt` points to the newest whole one, each has its SHA-256 next to it, and one more is
    saved at the end. Lightning's `ModelCheckpoint` saves in the middle of a step's hooks, and replaces
    files in place.

    Args:
        every_n_steps: Optimizer steps between checkpoints. 0 saves none at all.
        every_n_minutes: Longest time between checkpoints in minutes; 0 leaves it to the steps.
        keep_last: Number of newest checkpoints to keep, at least 1.
        keep_every_n_steps: Keep those whose step is a multiple of this forever; 0: none.
        keep_best: Number of best checkpoints to keep, each saved when the metric was measured. 0 for none.
        monitor: The logged metric that tells the best.
        mode: Whether the best metric is the lowest or the highest.
        asynchronous: Write while training goes on, which pays where a GPU trains and costs a copy in memory.
        on_error: What to do where the disk refuses a checkpoint: `continue` training and try again when the
            next one is due, or `stop`. At the end of training it is an error in any case.

    Attributes:
        run_directory: Where `checkpoints/` lies; None takes the logger's directory, or the Trainer's.
        signals: The signals to stop at; None: none.
        newest_whole: The newest checkpoint of this process that is whole on the disk.
        step_did_not_fit: Whether memory ran out while a gradient was computed, before anything had changed.
    """

    def __init__(
        self,
        every_n_steps: int = 500,
        every_n_minutes: float = 15.0,
        keep_last: int = 2,
        keep_every_n_steps: int = 0,
        keep_best: int = 0,
        monitor: str = "loss/val",
        mode: Best = "min",
        asynchronous: bool = False,
        on_error: OnError = "continue",
    ) -> None:
        check_ranges(
            at_least("checkpoint.keep_last", keep_last, 1),
            at_least("checkpoint.every_n_steps", every_n_steps, 0),
            at_least("checkpoint.every_n_minutes", every_n_minutes, 0),
            at_least("checkpoint.keep_every_n_steps", keep_every_n_steps, 0),
            at_least("checkpoint.keep_best", keep_best, 0),
        )
        self.every_n_steps, self.every_n_minutes = every_n_steps, every_n_minutes
        self.keep_last, self.keep_every_n_steps, self.keep_best = keep_last, keep_every_n_steps, keep_best
        self.monitor, self.mode, self.asynchronous, self.on_error = monitor, mode, asynchronous, on_error
        self.run_directory: Path | None = None
        self.signals: StopSignals | None = None
        self.newest_whole: Path | None = None
        self.step_did_not_fit = False
        self._folder = Path()
        self._io = WholeCheckpointIO(asynchronous, on_whole=self._publish)
        self._scores: dict[int, float] = {}
        self._score: float | None = None
        self._saved_step = self._whole_step = 0
        self._saved_at = 0.0
        self._stands_between_steps = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write and read whole checkpoints from here on; Lightning's own go elsewhere unless told where.

        Lightning leaves the signals alone: its handlers would stop in mid-step, exit with the status of
        success during the first validation, and under SLURM save in the handler.
        """
        trainer.strategy.checkpoint_io = self._io
        if self.signals is not None:
            replace_signal_handlers(trainer, self.signals.listen)
        root = self.run_directory or trainer.log_dir or trainer.default_root_dir
        run = RunDirectory(Path(root))
        self._folder = run.checkpoints
        for callback in callbacks_of(trainer, ModelCheckpoint):
            if _lies_in(callback.dirpath, self._folder):
                callback.dirpath = str(run.model_checkpoints)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to count."""
        self._saved_step = self._whole_step = trainer.global_step
        self._saved_at = time.monotonic()

    def on_step_start(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Save what is due between two steps, and stop there if asked to.

        Raises:
            StopRequestedError: After a signal.
            CheckpointWriteError: If the disk refuses, and training is to stop for that or for a signal.
        """
        self._stands_between_steps = True
        stop, due = self._asked_to_stop(trainer), self._is_due(trainer)
        if stop:
            self._save_last(trainer)
            raise StopRequestedError(f"stopped at step {step}")
        if due:
            with between_steps(trainer):
                self._save(trainer)

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Any) -> None:
        """Note that weights, averages and moments are about to change."""
        self._stands_between_steps = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save at the end of training, which is one endless epoch, and wait until it is written.

        Raises:
            CheckpointWriteError: If the disk refuses.
        """
        self._measure(trainer)
        self._save_last(trainer)

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Wait for pending writes; out of memory, save the step whose gradient did not fit."""
        self.step_did_not_fit = (
            self._stands_between_steps and bool(trainer.training) and is_out_of_memory(exception)
        )
        if self.step_did_not_fit:
            self._save(trainer)
        self.drain()

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Wait for pending writes."""
        self.drain()

    def rehearse(self, module: DiffusionModule, data: ImageFolderDataModule | None) -> None:
        """Look whether the best can be told.

        Raises:
            ValueError: If it is told by held-out images, and none are held out.
        """
        of_val = self.keep_best and self.monitor == "loss/val"
        if of_val and data is not None and not len(data.val_labels):
            raise ValueError(
                "--checkpoint.keep_best goes by loss/val, and no images are held out: give "
                "--data.val_fraction 0.05, or another --checkpoint.monitor."
            )

    def state_dict(self) -> dict[str, Any]:
        """Return the scores of the best checkpoints, and the metric as it was seen last."""
        return {
            "scores": dict(self._scores),
            "score": self._score,
            "monitor": self.monitor,
            "mode": self.mode,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the scores up again, unless they are of another metric."""
        of = state_dict.get("monitor", self.monitor), state_dict.get("mode", self.mode)
        if of == (self.monitor, self.mode):
            self._scores, self._score = dict(state_dict["scores"]), state_dict["score"]

    def drain(self) -> None:
        """Wait until what was saved is whole on the disk; an error of writing it is logged."""
        try:
            self._io.drain()
        except OSError as error:
            logger.error("A checkpoint was not written: %s", error)

    def _asked_to_stop(self, trainer: Trainer) -> bool:
        mine = self.signals is not None and self.signals.received is not None
        return mine if trainer.world_size == 1 else _any_rank(trainer, mine)

    def _saves(self, trainer: Trainer) -> bool:
        return self.every_n_steps > 0 and not is_fast_dev_run(trainer)

    def _is_due(self, trainer: Trainer) -> bool:
        step = trainer.global_step
        if not self._saves(trainer) or step == self._saved_step:
            return False
        late = bool(self.every_n_minutes) and time.monotonic() - self._saved_at >= 60 * self.every_n_minutes
        due = self._measure(trainer) or step % self.every_n_steps == 0 or late
        return due if trainer.world_size == 1 else _any_rank(trainer, due)

    def _measure(self, trainer: Trainer) -> bool:
        """Note a metric that was measured since the last look; tell whether it is one of the best."""
        measured = trainer.callback_metrics.get(self.monitor)
        if not self.keep_best or measured is None or float(measured) == self._score:
            return False
        self._score = float(measured)
        if math.isnan(self._score):
            return False
        self._scores[trainer.global_step] = self._score
        sign = 1 if self.mode == "max" else -1
        best = sorted(self._scores, key=lambda step: (sign * self._scores[step], step))[-self.keep_best :]
        self._scores = {step: self._scores[step] for step in sorted(best)}
        return trainer.global_step in self._scores

    def _save(self, trainer: Trainer) -> None:
        if not self._saves(trainer) or trainer.global_step == self._saved_step:
            return
        try:
            trainer.save_checkpoint(path_of(self._folder, trainer.global_step), weights_only=False)
        except OSError as error:
            trainer.strategy.barrier("Trainer.save_checkpoint")  # where the other processes wait
            if self.on_error == "stop":
                raise
            logger.error("Training goes on without this checkpoint: %s", error)
        self._saved_step, self._saved_at = trainer.global_step, time.monotonic()

    def _save_last(self, trainer: Trainer) -> None:
        """Save the step that training ends or stops at, if it is not saved, and wait until it is whole."""
        self.drain()  # what became of the checkpoint before does not decide about this one
        lacking = trainer.is_global_zero and trainer.global_step != self._whole_step
        if self._saves(trainer) and _any_rank(trainer, lacking):
            trainer.save_checkpoint(path_of(self._folder, trainer.global_step), weights_only=False)
        self._io.drain()

    def _publish(self, path: Path) -> None:
        """Point to a checkpoint that is whole, and delete those that no rule keeps.

        Files that other callbacks save are not this one's.
        """
        if path.parent != self._folder or not is_checkpoint(path):
            return
        point_last(path.parent, path)
        self.newest_whole, self._whole_step = path, step_of(path)
        steps = [step_of(each) for each in checkpoints_in(path.parent)]
        gone = steps_to_delete(
            steps,
            step_of(path),
            self.keep_last,
            self.keep_every_n_steps,
            self._scores,
            self.keep_best,
            self.mode,
        )
        delete_checkpoints(path_of(path.parent, step) for step in gone)
        if self.run_directory is not None:
            name_latest(self.run_directory)


def _lies_in(place: str | PathLike[str] | None, folder: Path) -> bool:
    """Tell whether a callback's folder is a folder, which it is too where it is not told yet."""
    return place is None or Path(place).absolute() == folder.absolute()


def _any_rank(trainer: Trainer, here: bool) -> bool:
    return bool(trainer.strategy.reduce_boolean_decision(here, all=False))
