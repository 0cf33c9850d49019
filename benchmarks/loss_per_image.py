r"""What a network learns from each image: the networks of step_speed.py, trained alike.

All have equal numbers of parameters and get the same images, noise levels and noise in the same order, one
loss (clean images predicted, squared error of the velocity: FlowX), one optimizer, schedule and average.
Then the averaged weights denoise held-out images. Peers' networks are given the noise level as a time out of
1,000. A network that needs another learning rate has it: the best of `--rates` by the held-out loss counts.

  python benchmarks/loss_per_image.py --data my_images --out learned
  python benchmarks/loss_per_image.py --data my_images --out learned --rates 1e-3,3e-4 \
      --only ours-dit,diffusers-dit

Done trainings are kept in OUT and not done again. The first network named is the one that others are compared
with. Images per second are step_speed.py's to say. The peers: see there.
"""

from __future__ import annotations

import argparse
import copy
import json
import math
import sys
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from contestants.data import prepare
from contestants.ours import COOL_DOWN, MEMORY, WARM_UP
from contestants.peer import in_range
from contestants.task import Images
from lists import integers, names, numbers
from machine import describe, machine, write
from step_networks import DIT, ROWS, OwnStep, Step
from torch import Tensor, nn
from tqdm import tqdm

from datamodules.errors import DataError
from lightning_modules.diffusion.loss import denoising_loss
from lightning_modules.utils.allocator import keep_freed_memory

PRECONDITIONER, NOISE_LEVELS = OwnStep.preconditioner, OwnStep.noise_levels
SIGMAS = (0.05, 0.2, 0.7, 2.5, 15.0)

NETWORKS = (
    "diffusers-dit",
    "published-dit",
    "ours-dit",
    "ours-dit (merged tokens)",
    "ours-unet (unshuffle 4)",
)


def main(args: Sequence[str] | None = None) -> None:
    """Train what is not trained yet, and print the table."""
    options = parse(args)
    torch.set_num_threads(options.threads)
    keep_freed_memory()
    try:
        prepare(options.data, options.out / "data", options.size, options.val, labels=False)
    except DataError as error:
        sys.exit(f"error: {error}")
    train, val = (np.load(options.out / "data" / f"{name}.npy") for name in ("train", "val"))
    print(f"{describe(machine())}\n{len(train)} training images, {len(val)} held out", flush=True)
    results = []
    for seed in options.seeds:
        for name in options.only:
            for rate in options.rates:
                of = f"{options.millions}M-{options.images}-{options.batch}-{rate:g}-seed{seed}"
                stored = options.out / f"{name.replace(' ', '-')}-{of}.json"
                if not stored.is_file():
                    facts = learn(name, rate, seed, train, val[: options.n], options)
                    write({"name": name, "rate": rate, "seed": seed} | facts, stored)
                results.append(json.loads(stored.read_text()))
    print(table(results, options.only))


def learn(
    name: str, rate: float, seed: int, train: Images, val: Images, options: argparse.Namespace
) -> dict[str, Any]:
    """Train a network and return the error of its averaged weights on held-out images."""
    torch.manual_seed(seed)
    step = ROWS[name].make(torch.zeros(options.batch, 3, options.size, options.size), options.millions)
    steps = options.images // options.batch
    parameters = list(step.network.parameters())
    average = copy.deepcopy(step.network).requires_grad_(False)
    averaged = list(average.parameters())
    optimizer = torch.optim.AdamW(parameters, rate, (0.9, 0.99), weight_decay=0.0, fused=True)
    generator = torch.Generator().manual_seed(seed)
    for index, images in enumerate(tqdm(batches(train, options.batch, steps, seed), name, steps)):
        for group in optimizer.param_groups:
            group["lr"] = rate * schedule(index, steps)
        sigma = NOISE_LEVELS.sample(len(images), generator)
        loss_of(step, images, torch.randn(images.shape, generator=generator), sigma).mean().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            kept = min(1 - 1 / max(2.0, MEMORY * steps), (index + 1) / (index + 10))
            torch._foreach_lerp_(averaged, parameters, 1 - kept)
    step.network.load_state_dict(average.state_dict())
    step.network.eval()
    return {"parameters": sum(p.numel() for p in parameters), "steps": steps} | errors(step, val)


def loss_of(step: Step, images: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    """Return the loss of each image, (B,)."""
    denoiser = partial(PRECONDITIONER.denoise, step.evaluate)
    return denoising_loss(denoiser, PRECONDITIONER.default_weighting(), images, noise, sigma).loss


@torch.no_grad()
def errors(step: Step, val: Images) -> dict[str, Any]:
    """Return the loss at training's noise levels, its standard error, and the plain error by `sigma`."""
    images = in_range(val)
    noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(1))
    # Evenly spaced quantiles of the distribution, not in the order of the images.
    quantiles = (torch.randperm(len(images), generator=torch.Generator().manual_seed(2)) + 0.5) / len(images)
    parts = torch.arange(len(images)).split(100)
    sigma = NOISE_LEVELS.from_uniform(quantiles)
    losses = torch.cat([loss_of(step, images[part], noise[part], sigma[part]) for part in parts])
    by_sigma = []
    for level in SIGMAS:
        weight = PRECONDITIONER.default_weighting()(torch.tensor([level]))
        levels = torch.full((len(images),), level)
        weighted = [loss_of(step, images[part], noise[part], levels[part]) for part in parts]
        by_sigma.append(float(torch.cat(weighted).mean() / weight))
    return {"losses": losses.tolist(), "error": by_sigma}


def batches(images: Images, size: int, steps: int, seed: int) -> Iterator[Tensor]:
    """Yield batches of shuffled images, half of them mirrored."""
    rng, rows = np.random.default_rng(seed), np.array([], dtype=np.int64)
    for _ in range(steps):
        while len(rows) < size:
            rows = np.concatenate([rows, rng.permutation(len(images))])
        chosen, rows = rows[:size], rows[size:]
        mirrored = torch.from_numpy(rng.random(size) < 0.5)[:, None, None, None]
        batch = in_range(images[chosen])
        yield torch.where(mirrored, batch.flip(-1), batch)


def schedule(index: int, steps: int) -> float:
    """Return the share of the learning rate at a step: warm-up, constant, linear to 0."""
    return min(1.0, (index + 1) / max(1, WARM_UP * steps), (steps - index) / max(1, COOL_DOWN * steps))


def table(results: Sequence[dict[str, Any]], names: Sequence[str]) -> str:
    """Return every network at its best rate as a Markdown table, compared image by image with the first."""
    best = {name: best_of(results, name) for name in names}
    first = np.mean([one["losses"] for one in best[names[0]]], axis=0)
    sigmas = " | ".join(f"error at {sigma:g}" for sigma in SIGMAS)
    lines = [f"| network | M parameters | rate | seeds | loss | times {names[0]}'s | {sigmas} |"]
    lines.append("|---" * (6 + len(SIGMAS)) + "|")
    for name, ran in best.items():
        losses = np.mean([one["losses"] for one in ran], axis=0)
        ratio = losses.mean() / first.mean()
        # Of a ratio of means over the same images and noise, by the delta method.
        spread = np.std(losses - ratio * first, ddof=1) / first.mean() / math.sqrt(len(losses))
        error = " | ".join(f"{value:.5f}" for value in np.mean([one["error"] for one in ran], axis=0))
        head = f"| {name} | {ran[0]['parameters'] / 1e6:.1f} | {ran[0]['rate']:g} | {len(ran)} "
        lines.append(f"{head}| {losses.mean():.4f} | {ratio:.3f} ±{1.96 * spread:.3f} | {error} |")
    return "\n".join(lines)


def best_of(results: Sequence[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    """Return a network's results, one per seed, at the rate with the least mean loss."""
    own = [one for one in results if one["name"] == name]
    rates = {one["rate"] for one in own}
    rate = min(rates, key=lambda rate: np.mean([one["losses"] for one in own if one["rate"] == rate]))
    return [one for one in own if one["rate"] == rate]


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--data", type=Path, required=True, help="folder of images")
    add("--size", type=int, default=32, help="side of the images (default 32)")
    add("--images", type=int, default=6400, help="images each is trained on (default 6,400)")
    add("--batch", type=int, default=32, help="images in a step (default 32)")
    add("--millions", type=int, default=10, choices=list(DIT), help="M parameters of each (default 10)")
    add("--only", type=networks, default=list(NETWORKS), help=f"with commas (default {','.join(NETWORKS)})")
    add("--rates", type=numbers, default=[1e-3], help="learning rates, with commas (default 1e-3)")
    add("--seeds", type=integers, default=[0], help="with commas")
    add("--n", type=int, default=600, help="held-out images that are denoised (default 600)")
    add("--val", type=float, default=0.5, help="share of the images that is held out (default 0.5)")
    add("--threads", type=int, default=2, help="threads of torch (default 2)")
    add("--out", type=Path, required=True, help="folder of the results")
    return parser.parse_args(args)


def networks(text: str) -> list[str]:
    chosen = names(text)
    unknown = [name for name in chosen if name not in ROWS]
    if unknown:
        raise argparse.ArgumentTypeError(f"no network {', '.join(unknown)}: there are {', '.join(ROWS)}")
    return chosen


if __name__ == "__main__":
    main()
