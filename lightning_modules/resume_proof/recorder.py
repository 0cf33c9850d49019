"""What the proof sees inside a training process: what it trains on, what it writes, what goes wrong."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import signal
import sys
from typing import Any

import torch
from lightning.pytorch import Trainer
from torch import Tensor

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.checkpoints.names import LAST
from lightning_modules.module import DiffusionModule
from lightning_modules.resume_proof.kills import Moment

LONGEST_LINE = 2000
"""In bytes. Up to PIPE_BUF, 4,096, the system writes a line whole, also when threads write at once."""

_CHECKPOINT = re.compile(r"step=\d+\.ckpt")
_TEMPORARY = re.compile(r"\.step=\d+\.ckpt\.\d+\.tmp")


class Reporter:
    """Report to the process that watches, a line each: `batch 12 3fd0...`, `error ...`, `writing`, `whole`.

    Args:
        pipe: File descriptor to write to.
    """

    def __init__(self, pipe: int) -> None:
        self._pipe = pipe

    def say(self, what: str, text: str = "") -> None:
        """Write a line."""
        line = f"{what} {text}".replace("\n", " ").encode()[:LONGEST_LINE]
        os.write(self._pipe, line + b"\n")


class Recorder(StepCallback):
    """Report every micro-batch, with a hash of its images and labels, before anything is done with it.

    Args:
        reporter: Where to.
        timer: Told of every micro-batch.
    """

    def __init__(self, reporter: Reporter, timer: KillTimer) -> None:
        self._reporter, self._timer = reporter, timer

    def on_micro_batch_start(
        self, trainer: Trainer, module: DiffusionModule, batch: tuple[Tensor, ...], batch_idx: int
    ) -> None:
        """Report a micro-batch under its number, counted over the whole run."""
        accumulation = trainer.accumulate_grad_batches
        number = trainer.global_step * accumulation + batch_idx % accumulation
        digest = hashlib.blake2b(digest_size=16)
        for tensor in batch:
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes())
        self._reporter.say("batch", f"{number} {digest.hexdigest()}")
        self._timer.reached(number)


class KillTimer:
    """Watch this process' file operations, and die right before one of a checkpoint's.

    An audit hook: Python calls it before it opens, renames or removes a file, and nothing is replaced.

    Args:
        reporter: Told when the writing of a checkpoint begins and when it gets its name.
        moment: Where to die; None only reports.
        micro_batch: The micro-batch from which on.
    """

    def __init__(self, reporter: Reporter, moment: Moment | None, micro_batch: int) -> None:
        self._reporter, self._moment, self._from = reporter, moment, micro_batch
        self._armed = False
        self._owner = os.getpid()

    def start(self) -> None:
        """Begin to watch; there is no end to it but the process'."""
        sys.addaudithook(self._hear)

    def reached(self, micro_batch: int) -> None:
        """Note that a micro-batch begins."""
        self._armed = self._armed or micro_batch >= self._from

    def _hear(self, event: str, args: tuple[Any, ...]) -> None:
        if event not in ("open", "os.rename", "os.remove") or os.getpid() != self._owner:
            return
        operation = _operation(event, args)
        if operation is None:
            return
        if operation is self._moment and self._armed and operation is not Moment.BYTES:
            os.kill(os.getpid(), signal.SIGKILL)
        if operation is Moment.BYTES:
            self._reporter.say("writing")
        elif operation is Moment.RENAME:
            self._reporter.say("whole")


def _operation(event: str, args: tuple[Any, ...]) -> Moment | None:
    """Return which moment in the writing of a checkpoint a file operation is."""
    path = args[1] if event == "os.rename" else args[0]
    if not isinstance(path, str | os.PathLike):
        return None
    name = os.path.basename(os.fspath(path))  # noqa: PTH119
    if event == "open":
        return Moment.BYTES if _TEMPORARY.fullmatch(name) else None
    if event == "os.remove":
        return Moment.DELETION if _CHECKPOINT.fullmatch(name) else None
    if name.endswith(".ckpt.sha256"):
        return Moment.CHECKSUM
    if name == LAST:
        return Moment.LAST
    return Moment.RENAME if _CHECKPOINT.fullmatch(name) else None


class ErrorReports(logging.Handler):
    """Report what is logged as an error.

    Args:
        reporter: Where to.
    """

    def __init__(self, reporter: Reporter) -> None:
        super().__init__(logging.ERROR)
        self._reporter = reporter

    def emit(self, record: logging.LogRecord) -> None:
        """Report a record's message."""
        self._reporter.say("error", record.getMessage())
