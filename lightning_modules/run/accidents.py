"""What a run learns from an accident, so that the next attempt does not meet it again."""

from __future__ import annotations

from pathlib import Path

from lightning_modules.checkpoints.names import step_of
from lightning_modules.checkpoints.whole import checkpoints_in, newest_whole, set_aside
from lightning_modules.run.directory import RunDirectory
from lightning_modules.run.recovery import Recovery


class RollBackError(Exception):
    """Training diverged at a step and has to go back to the last whole checkpoint.

    Attributes:
        step: The step that was not taken, counted from 0: as many steps as had been taken.
        reason: What diverged.
    """

    def __init__(self, step: int, reason: str) -> None:
        super().__init__(step, reason)  # both, so that it survives being sent to another process
        self.step, self.reason = step, reason

    def __str__(self) -> str:
        return self.reason


def split_further(recovery: Recovery, folder: Path, batch_size: int, step: int) -> str:
    """Compute a batch that did not fit into memory in twice as many parts, and return what to say.

    Args:
        recovery: What the run has learned before.
        folder: The run directory.
        batch_size: Images of a whole batch.
        step: Where memory ran out.

    Raises:
        MemoryError: If it is computed image by image already.
    """
    recovery = recovery.halved(batch_size)
    recovery.save(folder)
    return (
        f"Out of memory at step {step}. A batch of {batch_size} is computed in {recovery.split} parts from "
        f"here on: the same images, the same steps."
    )


def go_back(recovery: Recovery, folder: Path, error: RollBackError, most: int) -> str:
    """Leave out the data between the last whole checkpoint and a bad step, and return what to say.

    Where going back to that checkpoint has not helped before, its weights were damaged already: it is set
    aside for the one before it.

    Args:
        recovery: What the run has learned before.
        folder: The run directory.
        error: The bad step, and what was bad about it.
        most: Times that the run may go back.

    Raises:
        RollBackError: If it has gone back so often already.
    """
    if len(recovery.left_out) >= most:
        raise RollBackError(
            error.step,
            f"at step {error.step} {error}; the run has gone back {most} times already. Look at the data, or "
            f"lower the learning rate or lengthen its warm-up, with --allow-mismatch in this run or --fresh "
            f"in another; --spike_guard.max_roll_backs allows more.",
        ) from None
    checkpoints = RunDirectory(folder).checkpoints
    newest = newest_whole(checkpoints)
    tried = {window.from_step for window in recovery.left_out}
    if newest is not None and step_of(newest) in tried and len(checkpoints_in(checkpoints)) > 1:
        set_aside(newest)
        newest = newest_whole(checkpoints)
    back_to = step_of(newest) if newest else 0
    recovery.without(back_to, error.step).save(folder)
    return (
        f"At step {error.step} {error}. Back to step {back_to}, and on behind the data of the "
        f"{error.step - back_to + 1} steps between."
    )
