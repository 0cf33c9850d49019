"""The samplers there are: plain functions that integrate the probability-flow ODE or the reverse SDE.

All work on `x = x_0 + sigma * noise`, where the ODE is `dx/dsigma = (x - D(x, sigma)) / sigma` (EDM, equation
1 with `sigma(t) = t`), and evaluate `D` at the noise levels of a schedule that ends at 0. What the table says
of them can be read without importing torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from lightning_modules.diffusion.named import Named

_HERE = "lightning_modules.diffusion.samplers"


@dataclass(frozen=True, kw_only=True)
class NamedSampler(Named):
    """A `Sampler`, and what is known of it.

    Args:
        order: Power of the step that its error falls with in the end, if stochastic that of the variance.
        stages: Evaluations of the denoiser a step; the last step, to 0, takes one.
        stochastic: Whether it draws noise on the way.
    """

    order: int = 1
    stages: int = 1
    stochastic: bool = False

    def evaluations(self, steps: int) -> int:
        """Return how often it evaluates the denoiser in so many steps."""
        return self.stages * (steps - 1) + 1

    def steps_within(self, evaluations: int) -> int:
        """Return the largest number of steps that takes at most so many evaluations of the denoiser.

        Raises:
            ValueError: If not even one step does.
        """
        if evaluations < 1:
            raise ValueError(f"a sampler needs at least 1 evaluation, not {evaluations}")
        return (evaluations - 1) // self.stages + 1


SAMPLERS: dict[str, NamedSampler] = {
    "euler": NamedSampler(f"{_HERE}.single_step:euler", "DDIM"),
    "ancestral": NamedSampler(f"{_HERE}.single_step:ancestral", "DDPM", stochastic=True),
    "heun": NamedSampler(f"{_HERE}.single_step:heun", "EDM", order=2, stages=2),
    "stochastic_heun": NamedSampler(
        f"{_HERE}.single_step:stochastic_heun",
        "EDM with churn",
        settings=("churn",),
        order=2,
        stages=2,
        stochastic=True,
    ),
    "dpmpp_2m": NamedSampler(f"{_HERE}.multistep:dpmpp_2m", "DPM-Solver++(2M)", order=2),
    "dpmpp_3m": NamedSampler(f"{_HERE}.multistep:dpmpp_3m", "DPM-Solver++(3M)", order=2),
    "unipc": NamedSampler(f"{_HERE}.multistep:unipc", "UniPC-3", order=4),
    "ipndm": NamedSampler(f"{_HERE}.multistep:ipndm", "iPNDM-4", order=2),
}
