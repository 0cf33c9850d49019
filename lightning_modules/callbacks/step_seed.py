from __future__ import annotations

import torch
from lightning.pytorch import Trainer

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.seeds import Stream, fold


class StepSeed(StepCallback):
    """Seed torch's global generators from `(seed, batch, rank)` before every micro-batch.

    What uses them inside the step, such as network dropout, is then a pure function of the step:
    nothing that ran before, validation and sampling included, can shift it, and a resumed run needs no
    generator state.
    """

    def on_micro_batch_start(
        self, trainer: Trainer, module: DiffusionModule, batch: object, batch_idx: int
    ) -> None:
        """Seed the CPU's and every GPU's generator."""
        place = module.place(batch_idx)
        part = (place.part,) if place.part else ()  # the first part of a batch draws as the whole one does
        seed = fold(module.seed, Stream.GLOBAL_GENERATORS, place.batch, trainer.global_rank, *part)
        # What torch.manual_seed does, without its search for other kinds of device: a millisecond a step.
        torch.default_generator.manual_seed(seed)
        if module.device.type == "cuda":
            torch.cuda.manual_seed_all(seed)
