from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ProgressBar
from torch import Tensor
from tqdm import tqdm

from datamodules.utils.progress import LOG_SECONDS, bar, time_text
from datamodules.utils.terminal import unfailing
from lightning_modules.callbacks.base import StepCallback
from lightning_modules.callbacks.run_folder import run_folder
from lightning_modules.module import DiffusionModule
from lightning_modules.run.directory import RunDirectory
from lightning_modules.utils.ranges import at_least, check_ranges

_SHOWN_EVERY = 0.2
"""Seconds between two looks of a bar."""


class Pace:
    """Images per second over about the last minute, without pauses, and the time that is left, with them.

    Args:
        memory: Seconds after which what was counted weighs a third.
        clock: Seconds that pass.
    """

    def __init__(self, memory: float = 60.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._memory, self._clock = memory, clock
        self._images = self._seconds = 0.0
        self._all_images = self._paused = 0.0
        self._since: float | None = None

    def count(self, images: int) -> None:
        """Count images that were trained on, but the first, which bring what takes long only once."""
        now = self._clock()
        if self._since is not None:
            passed = now - self._since
            kept = math.exp(-passed / self._memory)
            self._images = kept * self._images + images
            self._seconds = kept * self._seconds + passed
            self._all_images += images
        self._since = now

    def pause(self) -> float:
        """Leave out what comes, and return the moment at which it begins."""
        return self._clock()

    def go_on(self, paused_at: float) -> None:
        """Count again."""
        self._since = self._clock()
        self._paused += self._since - paused_at

    @property
    def images_per_second(self) -> float | None:
        """The speed; None while it is not known."""
        return self._images / self._seconds if self._seconds else None

    def left(self, images: float) -> float | None:
        """Return the seconds that so many images will take; None while that is not known."""
        if not self._seconds or not self._images:
            return None
        return images * (self._seconds / self._images + self._paused / self._all_images)


class StepProgressBar(StepCallback, ProgressBar):
    """Say how far training is: a bar on a terminal, and a line for each validation.

    Where the output is no terminal there is no bar, but a line every half minute too.

    Args:
        refresh_rate: Micro-batches between updates of the bar; 0 says nothing at all.
    """

    def __init__(self, refresh_rate: int = 5) -> None:
        super().__init__()
        check_ranges(at_least("progress_bar.refresh_rate", refresh_rate, 0))
        self.refresh_rate = refresh_rate
        self.pace = Pace()
        self.bar: tqdm[Any] | None = None
        self._enabled = refresh_rate > 0
        self._images_in_step = self._per_step = 0
        self._loss: Tensor | float = 0.0
        self._losses = 0
        self._told_step = 0
        self._told_at = self._shown_at = self._paused_at = 0.0

    def disable(self) -> None:
        """Say nothing."""
        self._enabled = False

    def enable(self) -> None:
        """Say something again, unless it was never wanted."""
        self._enabled = self.refresh_rate > 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin where the run is."""
        self.pace = Pace()
        self._loss, self._losses = 0.0, 0
        self._told_at, self._told_step = time.monotonic(), trainer.global_step
        if not self._enabled:
            return
        steps = trainer.max_steps if trainer.max_steps >= 0 else None
        shape = "{desc}{percentage:3.0f}%|{bar}| " if steps else "{desc}"
        self.bar = bar(
            sys.stdout,
            total=steps,
            initial=trainer.global_step,
            bar_format=shape + ("step {n_fmt}/{total_fmt}" if steps else "step {n_fmt}") + "{postfix}",
            leave=False,
        )

    def on_micro_batch_end(
        self,
        trainer: Trainer,
        module: DiffusionModule,
        batch: tuple[Tensor, ...],
        outputs: Mapping[str, Tensor],
    ) -> None:
        """Count."""
        if not self._enabled:
            return
        images = len(batch[0]) * trainer.world_size
        self.pace.count(images)
        self._images_in_step += images
        self._loss, self._losses = self._loss + outputs["loss"].detach(), self._losses + 1

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Show what is due."""
        if not self._enabled:
            return
        self._per_step, self._images_in_step = self._images_in_step, 0
        now = time.monotonic()
        if self.bar is not None:
            self.bar.n = step
            micro_batches = trainer.accumulate_grad_batches
            due = (step * micro_batches - 1) % self.refresh_rate < micro_batches
            if due and now - self._shown_at >= _SHOWN_EVERY:
                self._shown_at = now
                self.bar.set_postfix_str(", ".join(self._words(trainer)))
        elif now - self._told_at >= LOG_SECONDS:
            self._tell(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the time of a validation out of the speed."""
        self._paused_at = self.pace.pause()
        if self.bar is not None and not trainer.sanity_checking:
            self.bar.set_description_str("validating ")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say what it found."""
        if trainer.sanity_checking or not self._enabled:
            return
        self.pace.go_on(self._paused_at)
        if self.bar is not None:
            self.bar.set_description_str("", refresh=False)
        self._tell(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Say where it has ended, if that is not said yet."""
        if self.bar is not None:
            self.bar.set_postfix_str("", refresh=False)  # what it showed last is of an earlier step
        if self._enabled and self._told_step != trainer.global_step:
            self._tell(trainer)
        self._close()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Leave the terminal's line to what comes."""
        self._close()

    def print(self, *args: Any, **kwargs: Any) -> None:
        """Print what a module wants to say, above the bar."""
        self._write(kwargs.get("sep", " ").join(map(str, args)))

    def _tell(self, trainer: Trainer) -> None:
        """Write a line."""
        of = f" of {trainer.max_steps:,}" if trainer.max_steps >= 0 else ""
        said = [*self._words(trainer, fresh=True)]
        folder, step = run_folder(trainer), trainer.global_step
        picture = None if folder is None else RunDirectory(folder).sample_grid(step)
        if picture is not None and picture.is_file():
            said.append(f"{picture.parent.name}/{picture.name}")
        self._write(f"step {step:,}{of}: {', '.join(said)}")
        self._told_at, self._told_step = time.monotonic(), step

    def _words(self, trainer: Trainer, fresh: bool = False) -> list[str]:
        """Return loss, speed and time left.

        Reading the loss waits for the device, so it comes from here and not through `prog_bar`, which would
        wait at every step. It is the mean since the last line.
        """
        words = []
        if self._losses:
            words.append(f"loss {float(self._loss) / self._losses:.4g}")
        val = trainer.callback_metrics.get("loss/val") if fresh else None
        if val is not None:
            words.append(f"held out {float(val):.4g}")
        if fresh:
            self._loss, self._losses = 0.0, 0
        speed = self.pace.images_per_second
        if speed:
            words.append(f"{speed:,.0f} images/s" if speed >= 10 else f"{speed:.2g} images/s")
        if trainer.max_steps > trainer.global_step:
            left = self.pace.left((trainer.max_steps - trainer.global_step) * self._per_step)
            words += [] if left is None else [f"{time_text(left)} left"]
        return words

    def _write(self, line: str) -> None:
        if self.bar is not None:
            self.bar.write(line, file=self.bar.fp)
        else:
            print(line, file=unfailing(sys.stdout), flush=True)

    def _close(self) -> None:
        if self.bar is not None:
            self.bar.close()
            self.bar = None
