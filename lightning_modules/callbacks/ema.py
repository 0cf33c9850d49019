from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import WeightAveraging
from torch import Tensor


class EMA(WeightAveraging):
    """Exponential moving average of the weights, with a decay that warms up.

    At step `n` the decay is `min(decay, (1 + n) / (10 + n))`, so that early averages forget the random
    initialisation instead of keeping it. Lightning's `WeightAveraging` validates with the average, saves it
    as the checkpoint's `state_dict` with the raw weights beside it, and leaves it in the module at the end.

    Args:
        decay: The decay once warm; the average's memory is `1 / (1 - decay)` steps.
    """

    def __init__(self, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema: decay is in [0, 1), not {decay}.")
        super().__init__(use_buffers=False, multi_avg_fn=self._update)
        self.decay = decay
        self._step = 0

    def decay_at(self, step: int) -> float:
        """Return the decay of the update that follows optimiser step `step`, counted from 0.

        The very first update copies the weights whatever the decay.
        """
        return min(self.decay, (1 + step) / (10 + step))

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Make the average on the device that training runs on; the module itself is still on the CPU."""
        self._device = self._device or trainer.strategy.root_device
        super().setup(trainer, pl_module, stage)

    def should_update(self, step_idx: int | None = None, epoch_idx: int | None = None) -> bool:
        """Update after every optimiser step, and note which one it is."""
        if step_idx is not None:
            self._step = step_idx
        return step_idx is not None

    @contextmanager
    def averaged(self, pl_module: LightningModule) -> Iterator[None]:
        """Run a block with the average in the module, and put the raw weights back."""
        self._swap_models(pl_module)
        try:
            yield
        finally:
            self._swap_models(pl_module)

    @torch.no_grad()
    def _update(self, averages: Sequence[Tensor], weights: Sequence[Tensor], _count: Tensor) -> None:
        torch._foreach_lerp_(list(averages), list(weights), 1 - self.decay_at(self._step))


@contextmanager
def averaged_weights(trainer: Trainer, pl_module: LightningModule) -> Iterator[None]:
    """Run a block with the averaged weights in the module, if the run keeps an average."""
    ema = next((callback for callback in trainer.callbacks if isinstance(callback, EMA)), None)  # type: ignore[attr-defined]
    if ema is None:
        yield
    else:
        with ema.averaged(pl_module):
            yield
