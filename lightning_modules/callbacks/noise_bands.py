from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from lightning_modules.callbacks.base import StepCallback, diffusion_module
from lightning_modules.callbacks.telemetry import logs_at, write_scalars
from lightning_modules.evaluation.denoising import BAND_EDGES, band_errors
from lightning_modules.module import DiffusionModule
from lightning_modules.utils.lightning_internals import data_module
from lightning_modules.utils.ranges import Rule, check_ranges
from lightning_modules.utils.seeds import Stream, fold


class LossByNoiseLevel(StepCallback):
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

    def on_micro_batch_end(
        self,
        trainer: Trainer,
        module: DiffusionModule,
        batch: tuple[Tensor, ...],
        outputs: Mapping[str, Tensor],
    ) -> None:
        """Add a micro-batch's errors to their bands."""
        sigma, error = outputs["sigma"], outputs["error"]
        self._edges = self._edges.to(sigma)
        if self._train is None:
            self._train = error.new_zeros(len(self.bands) + 2, 2)  # below, the bands, above
        self._train = self._train.to(error)
        terms = torch.stack([error, torch.ones_like(error)], dim=1)
        self._train.index_add_(0, torch.bucketize(sigma, self._edges), terms)

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Log the means when the trainer logs."""
        if self._train is not None and logs_at(trainer, step):
            sums = self._train[1:-1].tolist()
            self._train.zero_()
            pairs = zip(self.groups, sums, strict=True)
            write_scalars(
                trainer, {f"{group}/train": total / count for group, (total, count) in pairs if count}
            )

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start new sums."""
        self._val = torch.zeros(len(self.bands), 4, device=pl_module.device)
        if self._mean_image is None:
            mean_image = data_module(trainer).mean_image().to(pl_module.device)
            (self._mean_image,) = diffusion_module(pl_module).encoder.encode(mean_image[None])

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Add the errors of held-out images in every band."""
        assert self._val is not None
        assert self._mean_image is not None
        module = diffusion_module(pl_module)
        images, shown = batch
        x_0 = module.encoder.encode(images)
        denoiser = module.bind(module.conditioner.read(shown))
        seed = fold(module.seed, Stream.NOISE_BANDS, batch_idx, trainer.global_rank)
        generator = torch.Generator(module.device).manual_seed(seed)
        for number, band in enumerate(self.bands):
            errors = band_errors(denoiser, x_0, self._mean_image, band, generator)
            self._val[number] += len(images) * torch.cat([errors, torch.ones_like(errors[:1])])

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
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
