"""A training process in which something happens: `python child.py WHAT STEP fit-options...`.

WHAT is a signal's name, which the process sends to itself in the middle of the step, the same with `group:`
before it for its whole process group, with `twice:` for two of them, `pause`, which says so and waits for
its standard input to end, `memory:` and the megabytes that may be taken from that step on, or `none`.
"""

from __future__ import annotations

import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from lightning_modules.training import fit


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

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Any) -> None:
        if trainer.global_step != self.step or not trainer.is_global_zero or self.what == "none":
            return
        if self.what == "pause":
            print("paused", flush=True)
            sys.stdin.read()
            return
        number = signal.Signals[self.what]
        for _ in range(2 if self.how == "twice" else 1):
            if self.how == "group":
                os.killpg(os.getpgid(0), number)
            else:
                os.kill(os.getpid(), number)


if __name__ == "__main__":
    fit(sys.argv[3:], extra_callbacks=[Happening(sys.argv[1], int(sys.argv[2]))])
