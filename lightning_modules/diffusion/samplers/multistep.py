"""Samplers that extrapolate from the evaluations of the last steps: high order for one evaluation a step.

DPM-Solver++ and UniPC work in `h = ln(sigma / sigma_next)`, in which a step of the ODE has the exact solution
`x_next = e^-h x + h * integral of e^(-h (1 - u)) D(u) du`, `u` from 0 to 1 (Lu et al. 2022, arXiv 2211.01095,
proposition 4.1), with `D` replaced by a polynomial in `u`. The step to `sigma = 0`, where `h` is infinite,
ends at `D`.
"""

from __future__ import annotations

import itertools
import math
from typing import NamedTuple

import torch
from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.diffusion.samplers.sampler import NoiseSource, intervals, level


class Evaluation(NamedTuple):
    """An estimate and the noise level it was made at."""

    sigma: float
    denoised: Tensor


def dpmpp_2m(denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Tensor:
    """DPM-Solver++(2M), second order, one evaluation a step: Lu et al. 2022, arXiv 2211.01095, algorithm 2.

    It extrapolates `D` linearly from the last two evaluations. The first step and the last are first order.
    """
    past: list[Evaluation] = []
    for sigma, sigma_next in intervals(sigmas):
        past = [*past[-1:], Evaluation(sigma, denoiser(x, level(sigma, x)))]
        x = _dpmpp_step(x, past, sigma_next)
    return x


def dpmpp_3m(denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Tensor:
    """DPM-Solver++(3M), one evaluation a step: the multistep form, over three evaluations, of Lu et al. 2022.

    As in the authors' program, which is what goes by this name, the quadratic term has half the weight that
    the exact integral of the polynomial gives it. Its error therefore falls with the second power of the step
    in the end, from a smaller start than 2M's; with few steps the half weight is the more accurate one.
    The first step and the last are first order, the second is second order.
    """
    past: list[Evaluation] = []
    for sigma, sigma_next in intervals(sigmas):
        past = [*past[-2:], Evaluation(sigma, denoiser(x, level(sigma, x)))]
        x = _dpmpp_step(x, past, sigma_next)
    return x


def unipc(denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Tensor:
    """UniPC-3 with `B_2(h)`, one evaluation a step: Zhao et al. 2023, arXiv 2302.04867.

    Algorithms 1 and 2, for data prediction. A predictor (UniP) steps over the last three evaluations; the
    evaluation at its result then serves both the corrector (UniC), which repeats the step with it, and the
    next predictor. A third-order predictor so corrected is of fourth order. The order rises over the first
    steps and falls over the last, as in the authors' program.
    """
    past: list[Evaluation] = []
    steps = intervals(sigmas)
    predicted = x
    order = 0
    for index, (sigma, sigma_next) in enumerate(steps):
        here = Evaluation(sigma, denoiser(predicted, level(sigma, x)))
        if order > 0:
            x = _unipc_step(x, past[-order:], sigma, here)
        past = [*past[-2:], here]
        order = min(3, index + 1, len(steps) - index)
        predicted = _unipc_step(x, past[-order:], sigma_next)
    return predicted


def ipndm(denoiser: Denoiser, x: Tensor, sigmas: Tensor, noise: NoiseSource) -> Tensor:
    """Improved PNDM of order 4, one evaluation a step: Zhang & Chen 2023 ("DEIS", arXiv 2204.13902).

    Adams and Bashforth's formulas for even steps, over up to four evaluations of the noise
    `dx/dsigma = (x - D) / sigma` (PNDM's, Liu et al. 2022, arXiv 2202.09778, but warmed up at lower orders
    instead of by Runge-Kutta steps). Fourth order where the schedule is even in `sigma`; where neighboring
    steps differ, as on any schedule in use, second order. The last step, to 0, is many times as long as the
    one before it, and is Euler's, which ends at `D`.
    """
    past: list[Tensor] = []
    for sigma, sigma_next in intervals(sigmas):
        past = [*past[-3:], (x - denoiser(x, level(sigma, x))) / sigma]
        if sigma_next == 0:
            past = past[-1:]
        weights = ADAMS_BASHFORTH[len(past)]
        slope = sum((w * d for w, d in zip(weights, reversed(past), strict=True)), torch.zeros_like(x))
        x = x + (sigma_next - sigma) * slope
    return x


ADAMS_BASHFORTH = {
    1: (1.0,),
    2: (3 / 2, -1 / 2),
    3: (23 / 12, -16 / 12, 5 / 12),
    4: (55 / 24, -59 / 24, 37 / 24, -9 / 24),
}
"""Weights of the last slopes, newest first, by their number."""


def _dpmpp_step(x: Tensor, past: list[Evaluation], sigma_next: float) -> Tensor:
    """Step from the newest of up to three evaluations, oldest first, to `sigma_next`."""
    sigma, denoised = past[-1]
    if sigma_next == 0:
        return denoised
    h = math.log(sigma / sigma_next)
    i_0, i_1, i_2 = _moments(h, 3)
    step = x * (sigma_next / sigma) + i_0 * denoised
    differences = [
        (b.denoised - a.denoised) * (h / math.log(a.sigma / b.sigma)) for a, b in itertools.pairwise(past)
    ]
    if len(differences) == 1:
        # The paper's weight for the linear term of the second-order method, equal to i_1 to leading order.
        step = step + i_0 / 2 * differences[0]
    elif len(differences) == 2:
        span = math.log(past[0].sigma / sigma) / h
        quadratic = (differences[1] - differences[0]) / span
        linear = differences[1] + math.log(past[1].sigma / sigma) / h * quadratic
        step = step + i_1 * linear + i_2 / 2 * quadratic
    return step


def _unipc_step(
    x: Tensor, past: list[Evaluation], sigma_next: float, arrived: Evaluation | None = None
) -> Tensor:
    """Step from the newest evaluation to `sigma_next`, of the order of their number: UniP, or UniC.

    Args:
        x: Images at the noise level of the newest evaluation, (B, C, H, W).
        past: Evaluations, oldest first.
        sigma_next: Noise level to arrive at.
        arrived: The evaluation at `sigma_next`; with it the step is the corrector's.
    """
    sigma, denoised = past[-1]
    if sigma_next == 0:
        return denoised
    h = math.log(sigma / sigma_next)
    others = past[-2::-1] + ([] if arrived is None else [arrived])
    moments = _moments(h, len(others) + 1)
    step = x * (sigma_next / sigma) + moments[0] * denoised
    places = [math.log(sigma / other.sigma) / h for other in others]
    for weight, place, other in zip(_weights(places, moments), places, others, strict=True):
        step = step + weight / place * (other.denoised - denoised)
    return step


def _weights(places: list[float], moments: list[float]) -> list[float]:
    """Return the weights `a` for which `sum of a_k * place_k^(j - 1) = moment_j`, `j` from 1 on.

    The condition of UniPC's theorem 3.1, times `B(h)`. With one place the authors take half of
    `B_2(h) = e^h - 1`, here `1 - e^-h = moment_0`, which satisfies it to leading order.
    """
    if not places:
        return []
    if len(places) == 1:
        return [moments[0] / 2]
    powers = torch.tensor([[place**j for place in places] for j in range(len(places))], dtype=torch.float64)
    weights: list[float] = torch.linalg.solve(powers, torch.tensor(moments[1:], dtype=torch.float64)).tolist()
    return weights


def _moments(h: float, count: int) -> list[float]:
    """Return `h * integral of e^(-h (1 - u)) u^j du` for `u` in [0, 1], `j` from 0 to `count - 1`."""
    moments = [-math.expm1(-h)]
    for j in range(1, count):
        moments.append(1 - j * moments[-1] / h)
    return moments
