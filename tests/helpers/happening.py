"""What happens in the middle of a step of `child.py`."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import time
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_modules.run.signals import AGAIN_AFTER


class Happening(Callback):
    """Let it happen when the gradient of a step is about to be computed."""

    def __init__(self, what: str, step: int) -> None:
        self.step = step
        self.how, _, self.what = what.rpartition(":")

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int
    ) -> None:
        if self.how == "memory" and trainer.global_step == self.step:
            pages = int(Path("/proc/self/statm").read_text().split()[0])
            limit = pages * resource.getpagesize() + int(self.what) * 2**20
            resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
            self.step = -1
        if self.how == "disk" and trainer.global_step == self.step:
            resource.setrlimit(resource.RLIMIT_FSIZE, (int(self.what), resource.RLIM_INFINITY))
            self.step = -1

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Any) -> None:
        if trainer.global_step != self.step or not trainer.is_global_zero or self.what == "none":
            return
        if self.what == "pause":
            print("paused", flush=True)
            with contextlib.suppress(OSError):  # of a terminal that was closed
                while os.read(0, 1):
                    pass
            return
        number = signal.Signals[self.what]
        for nth in range(2 if self.how in ("twice", "insist") else 1):
            if nth and self.how == "insist":
                time.sleep(AGAIN_AFTER)
            if self.how == "group":
                os.killpg(os.getpgid(0), number)
            else:
                os.kill(os.getpid(), number)
