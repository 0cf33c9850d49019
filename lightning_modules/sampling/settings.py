from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.diffusion.guidance import EVERYWHERE, guided
from lightning_modules.diffusion.named import Named
from lightning_modules.diffusion.samplers.sampler import NoiseSource
from lightning_modules.diffusion.samplers.single_step import Churn
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.diffusion.tables import THRESHOLDS
from lightning_modules.ema.profiles import exponent_of
from lightning_modules.sampling.names import SamplerName, ScheduleName, ThresholdName

MAX_STEPS = 100_000
"""More steps than anybody takes; beyond it a number is a slip of the hand."""


@dataclass(frozen=True)
class Sampling:
    """How images are sampled from a denoiser.

    Args:
        sampler: The method that integrates from noise to images; `sample --help` says what each one is.
        steps: Number of denoising steps.
        schedule: Spacing of the noise levels; `sample --help` says what each one is.
        guidance: Scale of classifier-free guidance, or of autoguidance if there is a guide; 1: no guidance.
        guide_length: Guide away from the run's own average of this relative length, one of its `ema.lengths`
            (autoguidance): the average lags behind the model, and so is a worse one of the same data. None
            guides away from the model with nothing asked of it.
        guidance_interval: Noise levels between which guidance acts, `low < sigma <= high`.
        sigma_min: Last noise level before 0 of the `karras` and `log_snr` schedules.
        sigma_max: First noise level.
        shift: Shift of the `flow` schedule; larger puts more of the steps at large noise levels.
        threshold: What keeps estimates in the range of images: `none`, `clip` to [-1, 1], or `dynamic`.
        percentile: Quantile of an image's magnitudes that dynamic thresholding brings to 1.
        churn: How much noise `stochastic_heun` adds.

    Raises:
        ValueError: If a value is out of its range, with its name.
    """

    sampler: SamplerName = "dpmpp_2m"
    steps: int = 20
    schedule: ScheduleName = "karras"
    guidance: float = 1.0
    guide_length: float | None = None
    guidance_interval: tuple[float, float] = EVERYWHERE
    sigma_min: float = 0.002
    sigma_max: float = 80.0
    shift: float = 1.0
    threshold: ThresholdName = "none"
    percentile: float = 0.995
    churn: Churn = Churn()

    def __post_init__(self) -> None:
        thresholds = ["none", *THRESHOLDS]
        for name, known in (("sampler", SAMPLERS), ("schedule", SCHEDULES), ("threshold", thresholds)):
            if getattr(self, name) not in known:
                raise ValueError(f"{name} is one of {', '.join(known)}, not {getattr(self, name)!r}")
        low, high = self.guidance_interval
        ranges = (
            ("steps", self.steps, 1 <= self.steps <= MAX_STEPS, f"from 1 to {MAX_STEPS:,}"),
            ("guidance", self.guidance, math.isfinite(self.guidance), "a finite number; 1: no guidance"),
            (
                "guidance_interval",
                self.guidance_interval,
                0 <= low < high,
                "[low, high] with 0 <= low < high",
            ),
            ("sigma_max", self.sigma_max, 0 < self.sigma_max < math.inf, "above 0 and finite"),
            (
                "sigma_min",
                self.sigma_min,
                0 < self.sigma_min < self.sigma_max,
                f"above 0 and below sigma_max, which is {self.sigma_max:g}",
            ),
            ("shift", self.shift, 0 < self.shift < math.inf, "above 0 and finite"),
            ("percentile", self.percentile, 0 < self.percentile <= 1, "above 0 and at most 1"),
        )
        for name, value, fits, wanted in ranges:
            if not fits:
                raise ValueError(f"{name} is {wanted}, not {value}")
        if self.guide_length is not None:
            try:
                exponent_of(self.guide_length)
            except ValueError as error:
                raise ValueError(f"guide_length: {error}") from error

    @classmethod
    def from_dict(cls, settings: Mapping[str, Any]) -> Sampling:
        """Make settings from plain values, as `to_dict` or a YAML has them; what is left out is the default.

        Raises:
            TypeError: If there is a value of another name.
        """
        given = dict(settings)
        if "guidance_interval" in given:
            low, high = given["guidance_interval"]
            given["guidance_interval"] = (float(low), math.inf if high is None else float(high))
        if isinstance(given.get("churn"), Mapping):
            given["churn"] = Churn(**given["churn"])
        return cls(**given)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as plain values that JSON has; an interval without an end ends at None."""
        plain = dataclasses.asdict(self)
        low, high = self.guidance_interval
        return plain | {"guidance_interval": [low, None if math.isinf(high) else high]}

    @property
    def denoiser_evaluations(self) -> int:
        """Evaluations of the denoiser `D` per image."""
        return SAMPLERS[self.sampler].evaluations(self.steps)

    @property
    def nfe(self) -> int:
        """Evaluations of the network per image (NFE): a guided evaluation of the denoiser counts two."""
        return self.denoiser_evaluations * self._networks

    def within(self, nfe: int) -> Sampling:
        """Return these settings with as many steps as take at most `nfe` evaluations of the network.

        Raises:
            ValueError: If not even one step does.
        """
        if nfe < self._networks:
            raise ValueError(f"nfe {nfe}: a guided step takes {self._networks} evaluations of the network")
        steps = SAMPLERS[self.sampler].steps_within(nfe // self._networks)
        return dataclasses.replace(self, steps=steps)

    @property
    def _networks(self) -> int:
        """Evaluations of the network for one of the denoiser."""
        return 1 if self.guidance == 1 else 2

    @property
    def own_guide(self) -> float | None:
        """Length of the run's own average to guide away from; none where there is another guide or none."""
        return None if self.guidance == 1 else self.guide_length

    def unguided(self) -> Sampling:
        """Return these settings without guidance, for weights that come without a guide."""
        return dataclasses.replace(self, guide_length=None, guidance=1.0)

    def sigmas(self) -> Tensor:
        """Return the noise levels, (steps + 1,), float64, descending to 0."""
        sigmas: Tensor = self._with_settings(SCHEDULES[self.schedule])(
            self.steps, self.sigma_min, self.sigma_max
        )
        return sigmas

    @torch.no_grad()
    def sample(
        self,
        denoiser: Denoiser,
        noise: NoiseSource,
        weak: Denoiser | None = None,
        watch: Callable[[Denoiser], Denoiser] | None = None,
    ) -> Tensor:
        """Sample one batch of images.

        Args:
            denoiser: `D(x, sigma)`.
            noise: The images' noise streams, such as `ImageNoise`.
            weak: The weaker denoiser to guide away from; needed where `guidance` is not 1.
            watch: Wraps the denoiser that the sampler sees, guided and thresholded, to look on.

        Returns:
            Images, (B, C, H, W), float32, about in [-1, 1], not clipped.

        Raises:
            ValueError: If there is nothing to guide away from.
        """
        if self.guidance != 1:
            if weak is None:
                raise ValueError(f"guidance {self.guidance:g} needs a weaker denoiser to guide away from")
            denoiser = guided(denoiser, weak, self.guidance, self.guidance_interval)
        sigmas = self.sigmas()
        estimate = self._thresholded(denoiser)
        if watch is not None:
            estimate = watch(estimate)
        sampler = self._with_settings(SAMPLERS[self.sampler])
        images: Tensor = sampler(estimate, float(sigmas[0]) * noise(), sigmas, noise)
        return images

    def _with_settings(self, named: Named) -> Callable[..., Any]:
        """Return a function of a table with the settings that it takes."""
        return partial(named, **{name: getattr(self, name) for name in named.settings})

    def _thresholded(self, denoiser: Denoiser) -> Denoiser:
        if self.threshold == "none":
            return denoiser
        thresholded: Denoiser = self._with_settings(THRESHOLDS[self.threshold])(denoiser)
        return thresholded
