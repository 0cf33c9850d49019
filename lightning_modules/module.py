from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from lightning.pytorch import LightningModule
from torch import Tensor, nn
from torch.func import functional_call

from datamodules.batches.step_plan import Place, StepPlan
from datamodules.utils.text import counted, listed
from lightning_modules.checkpoints.optimizer_settings import keep_settings
from lightning_modules.diffusion.loss import denoising_loss
from lightning_modules.diffusion.noise_levels import NoiseLevels
from lightning_modules.diffusion.preconditioning import Denoiser, Preconditioner
from lightning_modules.diffusion.samplers.sampler import NoiseSource
from lightning_modules.diffusion.setting import Setting
from lightning_modules.diffusion.weighting import Weighting
from lightning_modules.networks.layers import weight_decay_groups
from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.sampling.settings import Sampling
from lightning_modules.utils.compilation import compile_where_possible
from lightning_modules.utils.lightning_internals import data_module, set_position, trainer_of
from lightning_modules.utils.ranges import at_least, check_ranges, share
from lightning_modules.utils.seeds import Stream, fold


@dataclass(frozen=True)
class AdamWSettings(Setting):
    """Settings of AdamW.

    Args:
        learning_rate: The peak, which the `learning_rate` callback scales.
        betas: Decay of the first and second moment.
        weight_decay: Decoupled decay of the weights whose layers declare it.
        eps: Added to the denominator.

    Raises:
        ValueError: If a setting is out of its range.
    """

    learning_rate: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.99)
    weight_decay: float = 0.01
    eps: float = 1e-8

    def __post_init__(self) -> None:
        check_ranges(
            at_least("optimizer.learning_rate", self.learning_rate, 0),
            *(share("optimizer.betas", beta, whole=False) for beta in self.betas),
            at_least("optimizer.weight_decay", self.weight_decay, 0),
            at_least("optimizer.eps", self.eps, 0),
        )


class DiffusionModule(LightningModule):
    """A denoiser in training: the one LightningModule, whatever the network.

    A training step is a pure function of (weights, seed, step, rank): noise, noise levels and label dropout
    come from a generator made for the step.

    Args:
        network: `F(x, noise_level, labels)`; its output is 0 at initialization.
        image_size: Height and width of the images in pixels.
        class_names: Names of the data's classes in the order of their labels; one class is unconditional.
        preconditioner: How the network's output becomes `denoised`, that is what the network predicts.
        noise_levels: The law that training draws noise levels from.
        weighting: Loss weight by noise level; none takes the one the preconditioner was published with.
        cond_dropout: Share of labels replaced by the null label, which classifier-free guidance needs.
        optimizer: Settings of AdamW.
        seed: Seed of everything random in a step.
        compile: Whether to run the network through `torch.compile`, where a compiler is there.

    Attributes:
        averages: Averages of the weights beside the module's own, by relative length and parameter.
    """

    def __init__(
        self,
        network: nn.Module,
        image_size: int,
        class_names: Sequence[str],
        preconditioner: Preconditioner,
        noise_levels: NoiseLevels,
        weighting: Weighting | None,
        cond_dropout: float,
        optimizer: AdamWSettings,
        seed: int,
        compile: bool,
    ) -> None:
        check_ranges(share("cond_dropout", cond_dropout))
        super().__init__()
        self.network = network
        self.image_shape = (3, image_size, image_size)
        self.class_names = tuple(class_names)
        self.preconditioner = preconditioner
        self.noise_levels = noise_levels
        self.weighting = weighting or preconditioner.default_weighting()
        self.cond_dropout = cond_dropout
        self.optimizer_settings = optimizer
        self.seed = seed
        self.compile_network = compile
        self.averages: Mapping[float, Mapping[str, Tensor]] = {}

    def forward(self, x: Tensor, sigma: Tensor, labels: Tensor, augmentation: Tensor | None = None) -> Tensor:
        """Evaluate the denoiser `D`: noisy images (B, C, H, W), `sigma` (B,), labels (B,) -> `denoised`.

        `augmentation` (B, augmentations) says what was done to the images; None is the same as zeros.
        """
        network = self.network if augmentation is None else partial(self.network, augmentation=augmentation)
        return self.preconditioner.denoise(network, x, sigma, labels)

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def null_label(self) -> int:
        """The label that stands for "none": of images drawn from all classes, and of dropped labels."""
        return self.num_classes

    def setup(self, stage: str) -> None:
        """Check the data's classes and compile the network if asked to, before the first step.

        Raises:
            ValueError: If the data module's classes are not the module's.
        """
        data = getattr(self.trainer, "datamodule", None)
        names = self.class_names if data is None else tuple(data.class_names)
        if names != self.class_names:
            raise ValueError(
                f"The data has {counted(names)}; but the model was made for {counted(self.class_names)}. "
                f"Only in the data: {listed(sorted({*names} - {*self.class_names})) or 'none'}; only in the "
                f"model: {listed(sorted({*self.class_names} - {*names})) or 'none'}."
            )
        if stage == "fit" and self.compile_network:
            compile_where_possible(self.network, self.trainer.strategy.root_device)

    def training_step(self, batch: tuple[Tensor, ...], batch_idx: int) -> dict[str, Tensor]:
        """Return the mean loss of a micro-batch, and `sigma` (B,) and the unweighted `error` (B,).

        The batch holds images and labels and, where images are varied, what was done to each.
        """
        images, labels, *augmentation = batch
        place = self.place(batch_idx)
        generator = self._generator(Stream.TRAINING_STEP, place.batch)
        rows, whole = self._rows(place, len(images))
        # Drawn for the whole batch and cut, so that computing it in parts changes none of it.
        sigma = self.noise_levels.sample(whole, generator)[rows]
        noise = torch.randn((whole, *images.shape[1:]), generator=generator, device=self.device)[rows]
        labels = self._drop_labels(labels, torch.rand(whole, generator=generator, device=self.device)[rows])
        denoiser = partial(self, augmentation=augmentation[0]) if augmentation else self
        terms = denoising_loss(denoiser, self.weighting, images, noise, sigma, labels)
        loss = terms.loss.mean()
        self.log("loss", loss.detach(), batch_size=len(images))
        # A step is the mean over its parts, which count by their images: sizes may differ by one.
        share = len(images) * self.plan.split / whole
        return {"loss": loss * share, "error": terms.error.detach(), "sigma": sigma}

    def validation_step(self, batch: tuple[Tensor, Tensor], batch_idx: int) -> None:
        """Log the held-out loss, with the same noise at every validation."""
        images, labels = batch
        generator = self._generator(Stream.VAL_LOSS, batch_idx)
        # Evenly spaced quantiles of the law instead of draws: the same expectation, with far less variance.
        quantiles = (torch.arange(len(images), device=self.device) + 0.5) / len(images)
        sigma = self.noise_levels.from_uniform(quantiles)
        noise = torch.randn(images.shape, generator=generator, device=self.device)
        terms = denoising_loss(self, self.weighting, images, noise, sigma, labels)
        self.log("loss/val", terms.loss.mean(), batch_size=len(images), sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Make AdamW over the network's parameters."""
        settings = self.optimizer_settings
        groups: Any = weight_decay_groups(self.network, settings.weight_decay)
        # Under mixed precision Lightning does not clip for the fused kernel, which may unscale by itself.
        fused = "mixed" not in str(self.trainer.precision)
        optimizer = torch.optim.AdamW(
            groups, settings.learning_rate, settings.betas, settings.eps, settings.weight_decay, fused=fused
        )
        keep_settings(optimizer)
        return optimizer

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note which model it is, for `load_model`, and a position that tells the step and nothing else."""
        checkpoint["model"] = type(self).__name__
        if trainer := trainer_of(self):
            set_position(trainer, checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Let the Trainer go on between the checkpoint's step and the next, whatever hook it was saved in."""
        if trainer := trainer_of(self):
            set_position(trainer, checkpoint)

    @property
    def plan(self) -> StepPlan:
        """How the run's steps are laid out over the stream of batches: the data module's, if there is one."""
        plan: StepPlan | None = getattr(getattr(self.trainer, "datamodule", None), "plan", None)
        return plan or StepPlan(self.trainer.accumulate_grad_batches)

    def place(self, batch_idx: int) -> Place:
        """Return which part of which batch of the stream a micro-batch is."""
        accumulation = self.trainer.accumulate_grad_batches
        return self.plan.place(self.trainer.global_step * accumulation + batch_idx % accumulation)

    def sample(
        self,
        labels: Tensor,
        settings: Sampling = Sampling(),
        seed: int = 0,
        indices: Sequence[int] | None = None,
        guide: Denoiser | None = None,
    ) -> Tensor:
        """Draw a batch of images with the module's present weights.

        Args:
            labels: Class indices, (B,); `null_label` draws from all classes.
            settings: Sampler, steps, guidance.
            seed: Seed of the set of images.
            indices: The images' numbers in the set, which fix their noise; none counts from 0.
            guide: A worse denoiser of the same data, which `settings.guidance` then guides away from; none
                takes the average that the settings name, if they do.

        Returns:
            Images, (B, C, H, W), float32, about in [-1, 1], not clipped. Image `i` does not depend on the
            batch it is drawn in.
        """
        numbers = range(len(labels)) if indices is None else indices
        noise = ImageNoise(seed, numbers, self.image_shape, self.device)
        return self.draw(labels, settings, noise, guide)

    def draw(
        self,
        labels: Tensor,
        settings: Sampling,
        noise: NoiseSource,
        guide: Denoiser | None = None,
        watch: Callable[[Denoiser], Denoiser] | None = None,
    ) -> Tensor:
        """Draw a batch of images from any noise; see `sample` and `Sampling.draw`.

        Raises:
            ValueError: If the settings guide by an average that the module does not have.
        """
        if guide is None and settings.own_guide is not None:
            guide = self.averaged(settings.own_guide)
        was_training = self.training
        self.eval()
        try:
            return settings.draw(self, labels.to(self.device), self.null_label, noise, guide, watch)
        finally:
            self.train(was_training)

    def averaged(self, length: float) -> Denoiser:
        """Return the denoiser with the average of a relative length for its weights.

        Raises:
            ValueError: If there is none of this length.
        """
        if length not in self.averages:
            kept = ", ".join(f"{each:g}" for each in self.averages) or "none"
            raise ValueError(
                f"guide_length {length:g}: the model comes without an average of this length (lengths kept: "
                f"{kept}). Train with --ema.lengths [{length:g}], or guide by label: guide_length null, "
                f"--guide-length 0 on a command line."
            )
        weights = {name: weight.to(self.device) for name, weight in self.averages[length].items()}

        def denoise(x: Tensor, sigma: Tensor, labels: Tensor) -> Tensor:
            denoised: Tensor = functional_call(self, weights, (x, sigma, labels))
            return denoised

        return denoise

    def _generator(self, stream: Stream, counter: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(fold(self.seed, stream, counter, self.global_rank))

    def _rows(self, place: Place, count: int) -> tuple[slice, int]:
        """Return the rows of its batch that a micro-batch of `count` images is, and the batch's size."""
        if self.plan.split == 1:
            return slice(None), count
        whole = data_module(self.trainer).batch_size
        return self.plan.rows(place.part, whole), whole

    def _drop_labels(self, labels: Tensor, uniform: Tensor) -> Tensor:
        return torch.where(uniform < self.cond_dropout, self.null_label, labels)


def label_count(class_names: Sequence[str]) -> int:
    """Return the number of labels a network is to tell apart: none where there is but one class."""
    return len(class_names) if len(class_names) > 1 else 0
