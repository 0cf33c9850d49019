"""What a run has learned from its accidents, kept in `recovery.json` next to its checkpoints."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path

from datamodules.batches.step_plan import LeftOut, StepPlan
from datamodules.utils.io import damaged, read_json, write_json
from lightning_modules.checkpoints.errors import write_errors
from lightning_modules.run.directory import RunDirectory

_MOST = 2**40  # steps or parts: no run has more


@dataclass(frozen=True)
class Recovery:
    """How a run departs from its configuration, so that what stopped it once does not stop it again.

    Attributes:
        split: Parts that a micro-batch is computed in, since it did not fit into memory whole.
        left_out: Windows of the data that are not trained on.
    """

    split: int = 1
    left_out: tuple[LeftOut, ...] = ()

    def halved(self, batch_size: int) -> Recovery:
        """Return the recovery with twice the parts, none larger than half of before.

        Raises:
            MemoryError: If the parts are single images already.
        """
        if self.split >= batch_size:
            raise MemoryError(
                "out of memory with a single image at a time. Take a smaller network or image size, a device "
                "with more memory, or --trainer.precision bf16-mixed."
            )
        return replace(self, split=min(2 * self.split, batch_size))

    def for_batches_of(self, batch_size: int) -> Recovery:
        """Return the recovery for batches of another size than the one that did not fit into memory."""
        return replace(self, split=min(self.split, batch_size))

    def without(self, back_to: int, bad_step: int) -> Recovery:
        """Return the recovery without the data of the steps from `back_to` to `bad_step`, both included."""
        plan = StepPlan(left_out=self.left_out)
        count = plan.data_step(bad_step) - plan.data_step(back_to) + 1
        return replace(self, left_out=(*self.left_out, LeftOut(back_to, count)))

    def save(self, folder: Path) -> None:
        """Write it into a run directory: the old one or this one is there, always.

        Raises:
            CheckpointWriteError: If the file system refuses.
        """
        path = RunDirectory(folder).recovery
        with write_errors(path):
            write_json(path, asdict(self))

    @staticmethod
    def load(folder: Path) -> Recovery:
        """Read a run directory's, or the one of a run without accidents.

        Raises:
            ValueError: If the file is damaged.
        """
        path = RunDirectory(folder).recovery
        if not path.is_file():
            return Recovery()
        what = "delete it to go on as if the run had met no accident, with other data than before"
        content = read_json(path, what)
        try:
            windows = tuple(
                LeftOut(_number(start, "from_step", 0), _number(steps, "steps", 1))
                for start, steps in content["left_out"]
            )
            return Recovery(_number(content["split"], "split", 1), windows)
        except (KeyError, TypeError, ValueError) as error:
            raise damaged(path, what, error) from error


def _number(value: object, name: str, least: int) -> int:
    """Return a whole number that a run can have written.

    Raises:
        ValueError: If it cannot have.
    """
    if type(value) is not int or not least <= value <= _MOST:
        raise ValueError(f"{name} is a whole number from {least} to {_MOST:,}, not {value!r}")
    return value
