from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Any

import torch
from lightning.pytorch import Callback, Trainer
from torch import Tensor

from lightning_modules.callbacks.telemetry import logs_at, write_scalars
from lightning_modules.evaluation.denoising import BAND_EDGES, band_errors
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.ranges import Rule, check_ranges
from lightning_modules.utils.seeds import Stream, fold


class LossByNoiseLevel(Callback):
    """Log the error of `denoised` in bands of noise levels, next to what needs no learning.

    For the band from `low` to `high`, TensorBoard's group `error_sigma_low_to_high` holds mean squared errors
    per pixel value:

    * `train`: of training images, over the steps since the last logging;
    * `val`: of held-out images at noise levels spread evenly over the band in `ln sigma`, with the same
      noise each time and the averaged weights;
    * `identity`: of the noisy image itself, `sigma^2` on average;
    * `constant`: of the best constant, the mean training image, the same in every band.

    A model has learned something in a band where `val` is below both baselines.

    Args:
        edges: Edges of the bands in `sigma`, ascending.
    """

    def __init__(self, edges: Sequence[float] = BAND_EDGES) -> None:
        ascend = all(low < high for low, high in itertools.pairwise([0.0, *edges, math.inf]))
        wanted = "two or more ascending numbers above 0"
        check_ranges(Rule("loss_by_noise_level.edges", list(edges), ascend and len(edges) > 1, wanted))
        self.bands = list(itertools.pairwise(edges))
        self._edges = torch.tensor(edges)
        self._train: Tensor | None = None  # (bands, 2): sum of errors and count
        self._val: Tensor | None = None  # (bands, 4): sums of val, identity, constant; count
        self._mean_image: Tensor | None = None

    def state_dict(self) -> dict[str, Any]:
        """Return the sums since the last logging, so that a resumed run logs what an undisturbed one does."""
        return {"bands": [list(band) for band in self.bands], "train": self._train}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take the sums up again, if they are of the same bands."""
        if state_dict["bands"] == [list(band) for band in self.bands]:
            self._train = state_dict["train"]

    @property
    def groups(self) -> list[str]:
        """TensorBoard's group of each band."""
        return [f"error_sigma_{low:g}_to_{high:g}" for low, high in self.bands]

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: DiffusionModule,  # type: ignore[override]
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add a micro-batch's errors to their bands; log the means when the trainer logs."""
        sigma, error = outputs["sigma"], outputs["error"]
        self._edges = self._edges.to(sigma)
        if self._train is None:
            self._train = error.new_zeros(len(self.bands) + 2, 2)  # below, the bands, above
        self._train = self._train.to(error)
        terms = torch.stack([error, torch.ones_like(error)], dim=1)
        self._train.index_add_(0, torch.bucketize(sigma, self._edges), terms)
        if pl_module.ends_step(batch_idx) and logs_at(trainer, trainer.global_step):
            sums = self._train[1:-1].tolist()
            self._train.zero_()
            pairs = zip(self.groups, sums, strict=True)
            write_scalars(
                trainer, {f"{group}/train": total / count for group, (total, count) in pairs if count}
            )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: DiffusionModule) -> None:  # type: ignore[override]
        """Start new sums."""
        self._val = torch.zeros(len(self.bands), 4, device=pl_module.device)
        if self._mean_image is None:
            mean_image: Tensor = trainer.datamodule.mean_image()  # type: ignore[attr-defined]
            self._mean_image = mean_image.to(pl_module.device)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: DiffusionModule,  # type: ignore[override]
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the errors of held-out images in every band."""
        assert self._val is not None
        assert self._mean_image is not None
        images, labels = batch
        seed = fold(pl_module.seed, Stream.NOISE_BANDS, batch_idx, trainer.global_rank)
        generator = torch.Generator(pl_module.device).manual_seed(seed)
        for number, band in enumerate(self.bands):
            errors = band_errors(pl_module, images, labels, self._mean_image, band, generator)
            self._val[number] += len(images) * torch.cat([errors, torch.ones_like(errors[:1])])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: DiffusionModule) -> None:  # type: ignore[override]
        """Log the bands' means and baselines."""
        assert self._val is not None
        for group, (error, identity, constant, count) in zip(self.groups, self._val.tolist(), strict=True):
            if count:
                means = {
                    "val": error / count,
                    "identity": identity / count,
                    "constant": constant / count,
                }
                pl_module.log_dict({f"{group}/{name}": mean for name, mean in means.items()}, sync_dist=True)
