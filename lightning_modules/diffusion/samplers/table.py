"""The samplers there are: plain functions that integrate the probability-flow ODE or the reverse SDE.

All work on `x = x_0 + sigma * noise`, where the ODE is `dx/dsigma = (x - D(x, sigma)) / sigma` (EDM, equation
1 with `sigma(t) = t`), and evaluate `D` at the noise levels of a grid that ends at 0.
"""

from __future__ import annotations

from lightning_modules.diffusion.samplers.multistep import dpmpp_2m, dpmpp_3m, ipndm, unipc
from lightning_modules.diffusion.samplers.sampler import Sampler
from lightning_modules.diffusion.samplers.single_step import ancestral, euler, heun, stochastic_heun

SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "ancestral": ancestral,
    "heun": heun,
    "stochastic_heun": stochastic_heun,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_3m": dpmpp_3m,
    "unipc": unipc,
    "ipndm": ipndm,
}

STOCHASTIC = frozenset({"ancestral", "stochastic_heun"})
"""The samplers that draw noise on the way."""

_TWO_STAGES = frozenset({"heun", "stochastic_heun"})


def evaluations(sampler: str, steps: int) -> int:
    """Return how often a sampler evaluates the denoiser in `steps` steps (NFE)."""
    return 2 * steps - 1 if sampler in _TWO_STAGES else steps


def steps_within(sampler: str, nfe: int) -> int:
    """Return the largest number of steps that takes at most `nfe` evaluations.

    Raises:
        ValueError: If not even one step does.
    """
    if nfe < 1:
        raise ValueError(f"a sampler needs at least 1 evaluation, not {nfe}")
    return (nfe + 1) // 2 if sampler in _TWO_STAGES else nfe
