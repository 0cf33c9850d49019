from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.loggers import TensorBoardLogger
from torch import Tensor

from lightning_modules.callbacks.base import StepCallback
from lightning_modules.callbacks.learning_rate import LearningRate
from lightning_modules.callbacks.noise_bands import LossByNoiseLevel
from lightning_modules.callbacks.rehearsal import rehearse_sampling
from lightning_modules.callbacks.run_folder import run_folder
from lightning_modules.callbacks.telemetry import between_steps, write_picture, write_scalars
from lightning_modules.ema.callback import EMA, averaged_weights
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.images import save_png
from lightning_modules.pictures.sheets import Sheet
from lightning_modules.run.directory import RunDirectory
from lightning_modules.sampling.generate import sample_images
from lightning_modules.sampling.settings import Sampling
from lightning_modules.utils.lightning_internals import (
    callback_of,
    callbacks_of,
    data_module,
    is_fast_dev_run,
)
from lightning_modules.utils.ranges import Rule, at_least, check_ranges

if TYPE_CHECKING:
    from datamodules.image_folder import ImageFolderDataModule
    from lightning_modules.evaluation.denoising import BandError
    from lightning_modules.evaluation.training_reference import TrainingReference
    from lightning_modules.evaluation.verdicts import KidAtStep

logger = logging.getLogger(__name__)


class Evaluation(StepCallback):
    """Measure samples in training: a small KID, held-out error, memorization; and say in words what it sees.

    Scalars go to TensorBoard and to `trainer.callback_metrics` as `evaluation/...`, so that a checkpoint
    callback can keep the best by `evaluation/kid`; `evaluation/step` says which step they are of. Samples are
    sampled with the averaged weights and always from the same noise, with the class balance of the reference.
    No weight is changed, and no generator of training's is moved.

    The time is measured: an evaluation that would bring the share of the run's time above `max_share` is left
    out. The first one is always done, since nothing is known of its cost before; it also takes the features
    of the real images, which later runs find in the cache.

    Args:
        every_n_steps: Optimizer steps between evaluations; 0 evaluates never.
        images: Samples, and real images they are compared with.
        features: Feature network, as `ninelives evaluate --features` takes it.
        sampling: Sampler, steps, guidance.
        max_share: Largest share of the run's time that evaluations take.
        patience: Evaluations without a better KID after which it says "plateau".
        seed: Seed of the samples and of the choice of real images.
    """

    def __init__(
        self,
        every_n_steps: int = 0,
        images: int = 128,
        features: str = "auto",
        sampling: Sampling = Sampling(steps=10),
        max_share: float = 0.05,
        patience: int = 5,
        seed: int = 0,
    ) -> None:
        check_ranges(
            at_least("evaluation.every_n_steps", every_n_steps, 0),
            at_least("evaluation.images", images, 10),
            at_least("evaluation.patience", patience, 1),
            at_least("evaluation.seed", seed, 0),
            Rule(
                "evaluation.max_share",
                max_share,
                0 < max_share <= 1,
                "a share of the time, above 0 and at most 1",
            ),
        )
        self.every_n_steps, self.images, self.features = every_n_steps, images, features
        self.sampling, self.max_share = sampling, max_share
        self.patience, self.seed = patience, seed
        self.history: list[KidAtStep] = []
        self.said: dict[str, str] = {}
        self._reference: TrainingReference | None = None
        self._started = self._spent = self._last_cost = 0.0
        self._evaluated_at = -1

    def rehearse(self, module: DiffusionModule, data: ImageFolderDataModule | None) -> None:
        """Make the feature network, count the images, and sample two tiny ones with a stand-in for the model.

        Raises:
            ValueError: If something that an evaluation needs is not there.
        """
        if not self.every_n_steps:
            return
        from lightning_modules.evaluation.image_sets import split_counts
        from lightning_modules.metrics.feature_networks.table import load_features

        rehearse_sampling(self.sampling, "evaluation", self.seed)
        try:
            load_features(self.features)
        except (ValueError, ModuleNotFoundError) as error:
            raise ValueError(f"--evaluation.features: {error}") from error
        try:
            if data is not None:
                labels = np.concatenate([data.train_labels, data.val_labels])
                split_counts(labels, len(data.class_names), self.images, "the data set")
        except ValueError as error:
            raise ValueError(f"--evaluation.every_n_steps {self.every_n_steps}: {error}") from error

    @property
    def share(self) -> float:
        """Share of the time since training started that evaluations took."""
        return self._spent / max(time.perf_counter() - self._started, 1e-9)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._started, self._spent = time.perf_counter(), 0.0

    def on_step_end(self, trainer: Trainer, module: DiffusionModule, step: int) -> None:
        """Evaluate when a step that is due has just ended and the time allows it."""
        if not self.every_n_steps or step % self.every_n_steps:
            return
        left_out = is_fast_dev_run(trainer) or not trainer.is_global_zero or step == self._evaluated_at
        if left_out or not self._affordable():
            return
        self._evaluated_at = step
        began = time.perf_counter()
        with self._untouched(module), between_steps(trainer):
            reference = self._prepared(trainer, module)
            prepared = time.perf_counter()
            scalars = self._evaluate(trainer, module, reference, step)
        self._last_cost = time.perf_counter() - prepared
        self._spent += time.perf_counter() - began
        scalars |= {"step": float(step), "seconds": self._last_cost, "share_of_time": self.share}
        named = {f"evaluation/{name}": value for name, value in scalars.items()}
        # Written at once: the Trainer's own logging waits for a step that log_every_n_steps divides.
        write_scalars(trainer, named)
        module.log_dict(named, logger=False, batch_size=1, rank_zero_only=True)

    def state_dict(self) -> dict[str, Any]:
        """Return the KIDs so far and what was said, so that a resumed run knows of a plateau."""
        history = [list(measured) for measured in self.history]
        return {"history": history, "said": dict(self.said), "measured": self._measured_with()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take up the KIDs so far, unless they were measured in another way."""
        if state_dict.get("measured", self._measured_with()) != self._measured_with():
            return
        from lightning_modules.evaluation.verdicts import KidAtStep

        self.history = [KidAtStep(int(step), float(kid)) for step, kid in state_dict["history"]]
        self.said = dict(state_dict["said"])

    def _measured_with(self) -> dict[str, Any]:
        settings = {"images": self.images, "features": self.features, "seed": self.seed}
        return settings | {"sampling": self.sampling.to_dict()}

    def _affordable(self) -> bool:
        elapsed = time.perf_counter() - self._started
        return not self._spent or self._spent + self._last_cost <= self.max_share * elapsed

    @staticmethod
    def _untouched(module: DiffusionModule) -> Any:
        """Keep torch's global generators as they are in a block."""
        devices = [module.device] if module.device.type == "cuda" else []
        return torch.random.fork_rng(devices=devices)

    def _prepared(self, trainer: Trainer, module: DiffusionModule) -> TrainingReference:
        """Return the real images and their features; the first call takes them."""
        from lightning_modules.evaluation.training_reference import TrainingReference

        if self._reference is None:
            data, device = data_module(trainer), module.device
            self._reference = TrainingReference(data, self.features, self.images, self.seed, device)
        return self._reference

    def _evaluate(
        self, trainer: Trainer, module: DiffusionModule, reference: TrainingReference, step: int
    ) -> dict[str, float]:
        asked = module.conditioner.read(reference.labels)
        with averaged_weights(trainer, module):
            batches = sample_images(module, self.sampling, asked, self.seed, batch_size=64)
            images = torch.cat([batch.images for batch in batches])
            bands = reference.errors(module)
        raw = reference.errors(module) if callbacks_of(trainer, EMA) else bands
        found = reference.compare(images.numpy())
        captions = module.conditioner.captions(asked[:64])
        pictures = {"samples": Sheet(8, f"step {step:,}", captions=captions).draw(images[:64])}
        if found.pairs is not None:
            pictures["closest_pairs"] = found.pairs.laid_out(f"step {step:,}").draw()
        _show(trainer, step, pictures)
        scalars = dict(found.scalars)
        if bands and raw:
            scalars |= self._of_bands(trainer, bands, raw)
        self._speak(trainer, step, scalars, found.sentence(step))
        return scalars

    def _of_bands(self, trainer: Trainer, bands: list[BandError], raw: list[BandError]) -> dict[str, float]:
        """Return the held-out errors by band unless they are logged already, and their geometric means."""
        scalars = {
            "error_val": _geometric_mean([band.val for band in bands]),
            "gap_to_train": _geometric_mean([band.val / band.train for band in bands]) - 1,
            "ema_error_over_raw": _geometric_mean(
                [averaged.val / left.val for averaged, left in zip(bands, raw, strict=True)]
            ),
        }
        if not callbacks_of(trainer, LossByNoiseLevel):
            scalars |= {f"val_sigma_{band.low:g}_to_{band.high:g}": band.val for band in bands}
        return scalars

    def _speak(self, trainer: Trainer, step: int, scalars: dict[str, float], memorizing: str | None) -> None:
        """Warn of what has come to be true since the last evaluation; say nothing twice in a row."""
        from lightning_modules.evaluation import verdicts

        self.history.append(verdicts.KidAtStep(step, scalars["kid"]))
        sentences = {
            "memorizing": memorizing,
            "plateau": verdicts.plateau(self.history, self.patience),
            "ema": verdicts.ema_lags(scalars.get("ema_error_over_raw", 0.0)),
            "floor": verdicts.at_floor(step, _rate(trainer)) if _at_floor(trainer) else None,
        }
        true = {subject: sentence for subject, sentence in sentences.items() if sentence}
        for subject, sentence in true.items():
            if subject not in self.said:
                logger.warning("Evaluation at step %d: %s", step, sentence)
                for run_logger in trainer.loggers:
                    if isinstance(run_logger, TensorBoardLogger):
                        run_logger.experiment.add_text("evaluation", sentence, step)
        # What was said once is kept as it was said: memorizing names the step at which it began.
        self.said = {subject: self.said.get(subject, sentence) for subject, sentence in true.items()}


def _show(trainer: Trainer, step: int, pictures: dict[str, Tensor]) -> None:
    """Write pictures to the run directory and to TensorBoard."""
    folder = run_folder(trainer)
    for name, picture in pictures.items():
        if folder is not None:
            save_png(picture, RunDirectory(folder).evaluation / f"step={step:08d}-{name}.png")
        write_picture(trainer, f"evaluation/{name}", picture, step)


def _rate(trainer: Trainer) -> float:
    return float(trainer.optimizers[0].param_groups[0]["lr"])


def _at_floor(trainer: Trainer) -> bool:
    """Tell whether the learning rate of the step just taken was the end of its cooldown, with steps left."""
    step = trainer.global_step - 1
    rate = callback_of(trainer, LearningRate)
    if rate is None:
        return False
    start = rate.phases(trainer.max_steps).start
    return start is not None and step >= start and rate.factor(step, trainer.max_steps) <= rate.floor


def _geometric_mean(values: list[float]) -> float:
    return math.exp(sum(math.log(value) for value in values) / len(values))
