"""Curves that callbacks go by: a name that nothing logs is told before there is a run."""

from __future__ import annotations

from collections.abc import Sequence

from lightning.pytorch import Callback

from lightning_modules.callbacks.checkpointing import StepCheckpoint
from lightning_modules.logs.board import description

_OWN = ("lightning.", "lightning_modules.")
_EXAMPLES = "loss/val, loss, evaluation/kid"


def check_monitors(callbacks: Sequence[Callback]) -> None:
    """Refuse a callback that goes by a curve that nothing logs: it would fail in mid-training, or never act.

    Where there are callbacks of the user's own, they may log it.

    Raises:
        ValueError: With the option to change.
    """
    if not all(type(callback).__module__.startswith(_OWN) for callback in callbacks):
        return
    for callback in callbacks:
        monitor, option = getattr(callback, "monitor", None), "--trainer.callbacks.monitor"
        if isinstance(callback, StepCheckpoint):
            monitor, option = callback.monitor if callback.keep_best else None, "--checkpoint.monitor"
        if isinstance(monitor, str) and not description(monitor):
            raise ValueError(
                f"{option}: nothing logs '{monitor}'. There are {_EXAMPLES} and the others of a metrics.csv."
            )
