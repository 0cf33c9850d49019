"""Error of each sampler against its cost, from the same starting noise as a solution on a very fine grid.

By default on a mixture of Gaussians whose denoiser has a closed form, so that nothing but the sampler errs;
with --run on a trained model. The error of an image is the root mean square over its values, which span
[-1, 1]; the tables give the median over the images and the 90th percentile. A stochastic sampler has no
solution to be compared with: for these, and for all on the mixture, the sliced Wasserstein distance to exact
samples is given, with its floor, the distance of two exact sets of the same size.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from machine import describe, machine, write
from torch import Tensor
from tqdm import tqdm

from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.sampling.generate import weak_denoiser
from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.sampling.settings import Sampling
from lightning_modules.trained.trained import load_trained

BUDGETS = (5, 8, 10, 15, 20, 35, 50)
SIDE = 8


@dataclass(frozen=True)
class Problem:
    """What is sampled."""

    name: str
    denoiser: Denoiser
    weak: Denoiser | None
    count: int
    shape: tuple[int, int, int]
    settings: Sampling
    exact: tuple[Tensor, Tensor] | None
    """Two independent sets of exact samples, where the distribution is known."""


class Mixture:
    """Gaussians of one width around smooth random images of one channel, equally likely.

    Args:
        components: Number of Gaussians.
        width: Their standard deviation.
        seed: Seed of the images.
    """

    def __init__(self, components: int = 16, width: float = 0.1, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        coarse = torch.randn(components, 1, 4, 4, generator=generator, dtype=torch.float64)
        smooth = torch.nn.functional.interpolate(coarse, SIDE, mode="bilinear", align_corners=True)
        self.means = (0.5 * smooth / smooth.std()).flatten(1)
        self.width = width

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """Return the exact posterior mean of the clean image."""
        flat, variance = x.flatten(1), self.width**2 + sigma[:, None].square()
        likely = torch.softmax(-torch.cdist(flat, self.means).square() / (2 * variance), dim=1)
        mean = likely @ self.means
        return (mean + self.width**2 / variance * (flat - mean)).reshape(x.shape)

    def sample(self, count: int, seed: int) -> Tensor:
        """Draw from the mixture."""
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randint(len(self.means), (count,), generator=generator)
        noise = torch.randn(count, SIDE**2, generator=generator, dtype=torch.float64)
        return self.means[chosen] + self.width * noise


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked to."""
    options = parse(args)
    problem = of_run(options) if options.run else of_mixture(options)
    coarse, reference = (
        draw(problem, replace(problem.settings, sampler="heun", steps=steps))
        for steps in (options.reference // 2, options.reference)
    )
    own_error = errors(coarse, reference).median().item()
    print(
        f"{describe(machine())}\n{problem.name}, schedule {problem.settings.schedule}, {problem.count} images"
    )
    print(f"reference: heun, {options.reference} steps; with half as many it moves by {own_error:.1e}\n")
    figures = measure(problem, reference, options.budgets)
    report(figures, options.budgets)
    results = {"machine": machine(), "problem": problem.name, "schedule": problem.settings.schedule}
    write(results | {"reference_error": own_error, "figures": figures}, options.out)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--run", type=Path, help="a trained run instead of the mixture, with its own settings"
    )
    parser.add_argument("--n", type=int, default=1024, help="images (default 1024)")
    parser.add_argument("--schedule", choices=list(SCHEDULES), help="default: karras, or the run's")
    parser.add_argument("--budgets", type=int, nargs="+", default=BUDGETS, help="evaluations per image")
    parser.add_argument("--reference", type=int, default=512, help="steps of the reference (default 512)")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(args)


def of_mixture(options: argparse.Namespace) -> Problem:
    mixture = Mixture()
    settings = Sampling(schedule=options.schedule or "karras")
    exact = mixture.sample(options.n, 1), mixture.sample(options.n, 2)
    return Problem("mixture of Gaussians", mixture.denoise, None, options.n, (1, SIDE, SIDE), settings, exact)


def of_run(options: argparse.Namespace) -> Problem:
    trained = load_trained(options.run)
    module = trained.module
    settings = replace(trained.sampling, schedule=options.schedule or trained.sampling.schedule)
    asked = module.conditioner.every().repeated(options.n)
    weak = weak_denoiser(module, asked, settings)
    name = f"{options.run}, step {trained.facts.step}, {trained.facts.weights} weights"
    return Problem(name, module.bind(asked), weak, options.n, module.image_shape, settings, None)


def draw(problem: Problem, settings: Sampling) -> Tensor:
    """Return images, (B, values), from the starting noise that all samplers share."""
    noise = ImageNoise(0, range(problem.count), problem.shape)
    source: Callable[[], Tensor] = noise if problem.exact is None else lambda: noise().double()
    return settings.sample(problem.denoiser, source, problem.weak).flatten(1)


def errors(images: Tensor, reference: Tensor) -> Tensor:
    """Return the root-mean-square difference of each image."""
    return (images - reference).square().mean(1).sqrt()


def sliced_wasserstein(one: Tensor, other: Tensor, directions: int = 256) -> float:
    """Return the Wasserstein-2 distance of two sets of as many, over random directions, root mean square."""
    generator = torch.Generator().manual_seed(0)
    axes = torch.randn(one.shape[1], directions, generator=generator, dtype=one.dtype)
    axes = axes / axes.norm(dim=0)
    gaps = (one @ axes).sort(dim=0).values - (other @ axes).sort(dim=0).values
    return gaps.square().mean().sqrt().item()


def measure(
    problem: Problem, reference: Tensor, budgets: Sequence[int]
) -> dict[str, dict[int, dict[str, float]]]:
    """Return the figures by sampler and budget."""
    figures: dict[str, dict[int, dict[str, float]]] = {name: {} for name in SAMPLERS}
    if problem.exact is not None:
        floor = sliced_wasserstein(*problem.exact)
        figures["exact (floor)"] = {budget: {"distance": floor} for budget in budgets}
    for name, budget in tqdm([(name, budget) for name in SAMPLERS for budget in budgets], desc="sampling"):
        settings = replace(problem.settings, sampler=name, steps=SAMPLERS[name].steps_within(budget))
        images = draw(problem, settings)
        row: dict[str, float] = {"evaluations": settings.denoiser_evaluations}
        if not SAMPLERS[name].stochastic:
            of_images = errors(images, reference)
            row |= {"median": of_images.median().item(), "p90": of_images.quantile(0.9).item()}
        if problem.exact is not None:
            row["distance"] = sliced_wasserstein(images, problem.exact[0])
        figures[name][budget] = row
    return figures


def report(figures: dict[str, dict[int, dict[str, float]]], budgets: Sequence[int]) -> None:
    """Print a table for each figure."""
    titles = {
        "median": "error, median over the images",
        "p90": "error, 90th percentile",
        "distance": "sliced Wasserstein distance to exact samples",
    }
    for key, title in titles.items():
        rows = {name: by for name, by in figures.items() if all(key in row for row in by.values())}
        if rows:
            print(f"| {title}; NFE at most | {' | '.join(map(str, budgets))} |")
            print("|---" * (len(budgets) + 1) + "|")
            for name, by in rows.items():
                print(f"| {name} | {' | '.join(f'{by[budget][key]:.2g}' for budget in budgets)} |")
            print()


if __name__ == "__main__":
    main()
