from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import torch
from lightning.pytorch import LightningModule
from torch import Tensor
from torch.func import functional_call

from datamodules.batches.step_plan import Place, StepPlan
from datamodules.utils.text import counted, listed
from lightning_modules.checkpoints.optimizer_settings import keep_settings
from lightning_modules.conditioning.class_labels import ClassLabels
from lightning_modules.conditioning.conditioner import Conditioner
from lightning_modules.diffusion.denoiser import Bound, Condition
from lightning_modules.diffusion.loss import denoising_loss
from lightning_modules.diffusion.noise_levels import NoiseLevels
from lightning_modules.diffusion.preconditioning import Preconditioner
from lightning_modules.diffusion.setting import Setting
from lightning_modules.diffusion.weighting import Weighting
from lightning_modules.encoders import RGB, Encoder
from lightning_modules.networks.config import NetworkConfig
from lightning_modules.networks.layers import weight_decay_groups
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


class Randomness(NamedTuple):
    """What is random in a micro-batch of B images."""

    sigma: Tensor
    """Noise levels, (B,)."""

    noise: Tensor
    """Draws of N(0, I), (B, C, H, W)."""

    dropped: Tensor
    """Which images' conditions are dropped, (B,) bool."""

    share: float
    """The part of its batch that the micro-batch is, times the number of parts: about 1."""


class DiffusionModule(LightningModule):
    """A denoiser in training: the one LightningModule, for every network.

    A training step is a pure function of (weights, seed, step, rank): noise, noise levels and dropped
    conditions come from a generator made for the step.

    Args:
        image_size: Height and width of the images in pixels.
        class_names: Names of the data's classes in the order of their labels; one class is unconditional.
        network: Shape of the network `F(x, noise_level, condition)`, whose output is 0 at initialization.
        conditioner: What can be asked for, whose embedding the network holds; null is the labels of classes.
        encoder: What the network sees of an image: its pixels, or another space.
        preconditioner: How the network's output becomes `denoised`, that is what the network predicts.
        noise_levels: The distribution that training draws noise levels from.
        weighting: Loss weight by noise level; null takes the one the preconditioner was published with.
        cond_dropout: Share of images of which nothing is asked, which classifier-free guidance needs.
        augmentations: How many numbers tell the network what was done to a training image; 0 for none.
        optimizer: Settings of AdamW.
        seed: Seed of everything random in a step.
        compile: Whether to run the network through `torch.compile`, where a compiler is there.

    Raises:
        ValueError: If a setting is out of its range, or the network does not fit the images.

    Attributes:
        image_shape: (C, H, W) of `x_0`.
        ema: Averages of the weights that are kept along with the module's own, by relative length and
            parameter.
    """

    def __init__(
        self,
        image_size: int,
        class_names: Sequence[str] = ("images",),
        *,
        network: NetworkConfig,
        conditioner: Conditioner | None = None,
        encoder: Encoder = RGB(),
        preconditioner: Preconditioner,
        noise_levels: NoiseLevels,
        weighting: Weighting | None = None,
        cond_dropout: float = 0.1,
        augmentations: int = 0,
        optimizer: AdamWSettings = AdamWSettings(),
        seed: int = 0,
        compile: bool = False,
    ) -> None:
        check_ranges(at_least("image_size", image_size, 1), share("cond_dropout", cond_dropout))
        super().__init__()
        self.save_hyperparameters()  # those of the subclass too, and the defaults of this class
        self.hparams["class_names"] = list(class_names)
        self.conditioner: Conditioner = conditioner or ClassLabels(tuple(class_names))
        self.encoder, self.image_size = encoder, image_size
        self.image_shape = encoder.shape(image_size)
        channels, size, _ = self.image_shape
        self.network = network.build(size, channels, self.conditioner.embedding, augmentations)
        self.class_names = tuple(class_names)
        self.preconditioner = preconditioner
        self.noise_levels = noise_levels
        self.weighting = weighting or preconditioner.default_weighting()
        self.cond_dropout = cond_dropout
        self.optimizer_settings = optimizer
        self.seed = seed
        self.compile_network = compile
        self.ema: Mapping[float, Mapping[str, Tensor]] = {}

    def forward(
        self, x: Tensor, sigma: Tensor, condition: Condition, augmentation: Tensor | None = None
    ) -> Tensor:
        """Evaluate the denoiser `D`: noisy images (B, C, H, W), `sigma` (B,), condition -> `denoised`.

        `augmentation` (B, augmentations) says what was done to the images; None: as zeros.
        """
        given = (condition,) if augmentation is None else (condition, augmentation)
        return self.preconditioner.denoise(lambda x, level: self.network(x, level, *given), x, sigma)

    def bind(
        self, condition: Condition, augmentation: Tensor | None = None, ema: float | None = None
    ) -> Bound:
        """Return the denoiser `D(x, sigma)` of images of which something is asked.

        Args:
            condition: What is asked of B images.
            augmentation: What was done to them, (B, augmentations); None: as zeros.
            ema: Relative length of the average to take for the weights; None takes the module's own.

        Raises:
            ValueError: If there is no average of this length.
        """
        asked = condition.to(self.device)
        if ema is not None:
            weights = {name: weight.to(self.device) for name, weight in self.ema_weights(ema).items()}
            return Bound(lambda *given: functional_call(self, weights, given), asked)
        return Bound(self if augmentation is None else partial(self, augmentation=augmentation), asked)

    def ema_weights(self, length: float) -> Mapping[str, Tensor]:
        """Return the average of a relative length, by parameter.

        Raises:
            ValueError: If no average has this length.
        """
        if length not in self.ema:
            kept = ", ".join(f"{each:g}" for each in self.ema) or "none"
            raise ValueError(
                f"guide_length {length:g}: the model comes without an average of this length (lengths kept: "
                f"{kept}). Train with --ema.lengths [{length:g}], or guide by label: guide_length null, "
                f"--guide-length 0 on a command line."
            )
        return self.ema[length]

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

    def training_step(self, batch: tuple[Any, ...], batch_idx: int) -> dict[str, Tensor]:
        """Return the mean loss of a micro-batch, and `sigma` (B,) and the unweighted `error` (B,).

        The batch holds images, what they show and, where images are varied, what was done to each.
        """
        images, shown, *augmentation = batch
        x_0 = self.encoder.encode(images)
        random = self._randomness(batch_idx, x_0.shape)
        condition = self.conditioner.drop(self.conditioner.read(shown), random.dropped)
        denoiser = self.bind(condition, *augmentation)
        terms = denoising_loss(denoiser, self.weighting, x_0, random.noise, random.sigma)
        loss = terms.loss.mean()
        self.log("loss", loss.detach(), batch_size=len(x_0))
        return {"loss": random.share * loss, "error": terms.error.detach(), "sigma": random.sigma}

    def validation_step(self, batch: tuple[Any, ...], batch_idx: int) -> None:
        """Log the held-out loss, with the same noise at every validation."""
        images, shown = batch
        x_0 = self.encoder.encode(images)
        generator = self._generator(Stream.VAL_LOSS, batch_idx)
        # Evenly spaced quantiles instead of random ones: the same expectation, with far less variance.
        quantiles = (torch.arange(len(x_0), device=self.device) + 0.5) / len(x_0)
        sigma = self.noise_levels.from_uniform(quantiles)
        noise = torch.randn(x_0.shape, generator=generator, device=self.device)
        denoiser = self.bind(self.conditioner.read(shown))
        terms = denoising_loss(denoiser, self.weighting, x_0, noise, sigma)
        self.log("loss/val", terms.loss.mean(), batch_size=len(x_0), sync_dist=True)

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
        """Let the Trainer go on between the checkpoint's step and the next, in any hook it was saved in."""
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

    def _generator(self, stream: Stream, counter: int) -> torch.Generator:
        return torch.Generator(self.device).manual_seed(fold(self.seed, stream, counter, self.global_rank))

    def _randomness(self, batch_idx: int, shape: torch.Size) -> Randomness:
        """Draw what is random in a micro-batch of images (B, C, H, W).

        It is drawn for the whole batch that the micro-batch is a part of, and cut, so that computing a batch
        in parts changes none of it. A step is the mean over its parts, which count by their images: their
        sizes may differ by one.
        """
        place, count = self.place(batch_idx), shape[0]
        rows, whole = slice(None), count
        if self.plan.split > 1:
            whole = data_module(self.trainer).batch_size
            rows = self.plan.rows(place.part, whole)
        generator = self._generator(Stream.TRAINING_STEP, place.batch)
        sigma = self.noise_levels.sample(whole, generator)
        noise = torch.randn((whole, *shape[1:]), generator=generator, device=self.device)
        dropped = torch.rand(whole, generator=generator, device=self.device) < self.cond_dropout
        return Randomness(sigma[rows], noise[rows], dropped[rows], count * self.plan.split / whole)
