"""The Trainer's micro-batches: batches of training, or parts of them where a batch does not fit."""

from __future__ import annotations

from torch.utils.data import Dataset

from datamodules.batches.batches import TrainBatches
from datamodules.batches.finishing import DraftBatch, ImageBatch
from datamodules.batches.step_plan import StepPlan


class MicroBatches(Dataset[ImageBatch | DraftBatch]):
    """Micro-batch `n` of the Trainer, counted over the whole run.

    Args:
        batches: The stream of batches.
        plan: How the run's steps are laid out over it.
    """

    def __init__(self, batches: TrainBatches, plan: StepPlan) -> None:
        self.batches, self.plan = batches, plan

    def __getitem__(self, n: int) -> ImageBatch | DraftBatch:
        """The micro-batch with a number, images as uint8."""
        place = self.plan.place(n)
        batch = self.batches[place.batch]
        if self.plan.split == 1:
            return batch
        rows = self.plan.rows(place.part, self.batches.batch_size)
        cut = {name: field[rows] for name, field in batch._asdict().items() if field is not None}
        return batch._replace(**cut)
