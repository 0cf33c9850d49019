from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from lightning_modules.diffusion.grids import GRIDS
from lightning_modules.diffusion.guidance import autoguidance, classifier_free_guidance
from lightning_modules.diffusion.preconditioning import Denoiser
from lightning_modules.diffusion.samplers import SAMPLERS, NoiseSource

SamplerName = Literal["euler", "ancestral", "heun", "dpmpp_2m"]
GridName = Literal["karras", "flow"]


@dataclass(frozen=True)
class Sampling:
    """How images are drawn from a denoiser.

    Args:
        sampler: `euler` (DDIM), `ancestral` (DDPM), `heun` (EDM, two evaluations a step) or `dpmpp_2m`
            (DPM-Solver++, second order for one evaluation a step).
        steps: Number of denoising steps.
        grid: Spacing of the noise levels: `karras` (EDM, rho 7) or `flow` (even in flow time).
        guidance: Scale of classifier-free guidance, or of autoguidance where there is a guide; 1 is none.
        guidance_interval: Noise levels between which guidance acts, `low < sigma <= high`.
        sigma_min: Last noise level before 0 of the `karras` grid.
        sigma_max: First noise level.
    """

    sampler: SamplerName = "dpmpp_2m"
    steps: int = 20
    grid: GridName = "karras"
    guidance: float = 1.0
    guidance_interval: tuple[float, float] = (0.0, float("inf"))
    sigma_min: float = 0.002
    sigma_max: float = 80.0

    def sigmas(self) -> Tensor:
        """Return the noise levels, (steps + 1,), float64, descending to 0."""
        return GRIDS[self.grid](self.steps, self.sigma_min, self.sigma_max)

    @torch.no_grad()
    def draw(
        self,
        denoiser: Denoiser,
        labels: Tensor,
        null_label: int,
        noise: NoiseSource,
        guide: Denoiser | None = None,
    ) -> Tensor:
        """Draw one batch of images.

        Args:
            denoiser: `D(x, sigma, labels)`.
            labels: Class indices, (B,).
            null_label: The label that stands for "none".
            noise: The images' noise streams, such as `ImageNoise`.
            guide: A worse denoiser of the same data, to guide away from instead of from the null label.

        Returns:
            Images, (B, C, H, W), float32, about in [-1, 1], not clipped.
        """
        sigmas = self.sigmas()
        if guide is None:
            guided = classifier_free_guidance(denoiser, self.guidance, null_label, self.guidance_interval)
        else:
            guided = autoguidance(denoiser, guide, self.guidance, self.guidance_interval)
        return SAMPLERS[self.sampler](guided, float(sigmas[0]) * noise(), sigmas, labels, noise)
