"""Which part of which batch a micro-batch of the Trainer is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class LeftOut(NamedTuple):
    """A window of the data that is not trained on.

    Attributes:
        from_step: The step from which on training goes on behind the window.
        steps: Length of the window in steps.
    """

    from_step: int
    steps: int


class Place(NamedTuple):
    """What a micro-batch of the Trainer consists of.

    Attributes:
        batch: Number of the batch in the stream of all batches.
        part: Number of the part of that batch.
    """

    batch: int
    part: int


@dataclass(frozen=True)
class StepPlan:
    """How the steps of a run are laid out over the stream of batches, a pure function of the step.

    A step is `accumulation` batches, each computed in `split` parts, one micro-batch of the Trainer each.

    Attributes:
        accumulation: Batches per step.
        split: Parts per batch.
        left_out: Windows of the data that are not trained on.
    """

    accumulation: int = 1
    split: int = 1
    left_out: tuple[LeftOut, ...] = ()

    @property
    def micro_batches(self) -> int:
        """Micro-batches of the Trainer per step."""
        return self.accumulation * self.split

    def data_step(self, step: int) -> int:
        """Return which of the steps of an undisturbed run has the data and the noise of a step."""
        return step + sum(window.steps for window in self.left_out if step >= window.from_step)

    def place(self, micro_batch: int) -> Place:
        """Return what the micro-batch with a number, counted over the whole run, consists of."""
        step, within = divmod(micro_batch, self.micro_batches)
        batch, part = divmod(within, self.split)
        return Place(self.data_step(step) * self.accumulation + batch, part)

    def rows(self, part: int, batch_size: int) -> slice:
        """Return the rows of a batch that a part holds; the parts' sizes differ by one at most."""
        return slice(part * batch_size // self.split, (part + 1) * batch_size // self.split)
