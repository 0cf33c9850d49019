"""Share of rendered cats whose breed is the one that was asked for, as a small classifier sees it.

The classifier is trained on drawings that no generative model has seen (another seed of the embedded data
set), and is tested on further ones: their share is the ceiling, chance the floor. It judges a run's
samples, or a `samples.npz` of `quality_per_minute.py --labels` (uint8 `images` (N, 3, S, S), `labels` (N,)).

    python benchmarks/breed_agreement.py runs/demo --n 600
    python benchmarks/breed_agreement.py compared/ours-dit/seed=0/samples.npz
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from machine import describe, machine, write
from torch import Tensor, nn
from torch.nn import functional
from tqdm import trange

from datamodules.cache.cache import default_cache_dir
from datamodules.image_folder import ImageFolderDataModule
from datamodules.sources.rendered_cats import BREEDS, RenderedCats
from lightning_modules.encoders import RGB
from lightning_modules.sampling.generate import sample_images
from lightning_modules.trained.trained import load_trained

NAMES = tuple(sorted(BREEDS))
_SEED = 1_000_003  # of drawings that no run has been trained on


def main(args: Sequence[str] | None = None) -> None:
    """Train the classifier, let it judge, and print the shares."""
    options = parse(args)
    facts = machine()
    print(describe(facts))
    results: dict[str, object] = {"machine": facts, "chance": 1 / len(NAMES)}
    classifiers: dict[int, tuple[nn.Module, float]] = {}
    for target in options.target:
        images, labels = samples(target, options.n)
        size = images.shape[-1]
        if size not in classifiers:
            classifiers[size] = trained_classifier(size, options.drawings, options.steps)
        classifier, accuracy = classifiers[size]
        found = classify(classifier, images)
        agrees = (found == labels).float()
        each = {
            name: float(agrees[labels == i].mean()) for i, name in enumerate(NAMES) if (labels == i).any()
        }
        share, half = float(agrees.mean()), half_width(agrees)
        print(f"{target}: {share:.1%} ± {half:.1%} of {len(labels)} samples are of the breed asked for")
        print("  " + ", ".join(f"{name} {value:.0%}" for name, value in each.items()))
        print(
            f"  ceiling, drawings held out from the classifier: {accuracy:.1%}; chance: {1 / len(NAMES):.1%}"
        )
        results[str(target)] = {"agreement": share, "half_width": half, "breeds": each, "ceiling": accuracy}
    write(results, options.out)


def samples(target: Path, n: int) -> tuple[Tensor, Tensor]:
    """Return samples, uint8 (N, 3, S, S), and the labels that were asked for, (N,)."""
    if target.suffix == ".npz":
        with np.load(target) as file:
            return torch.from_numpy(file["images"]), torch.from_numpy(file["labels"]).long()
    trained = load_trained(target)
    if trained.module.class_names != NAMES:
        raise SystemExit(
            f"error: {target} was not trained on the rendered cats: {trained.module.class_names}"
        )
    wanted = trained.module.conditioner.every().repeated(n)
    (labels,) = wanted.tensors()
    batches = sample_images(trained.module, trained.sampling, wanted)
    return torch.cat([batch.images for batch in batches]), labels


def trained_classifier(size: int, drawings: int, steps: int) -> tuple[nn.Module, float]:
    """Train on drawings of a size, and return the classifier and its accuracy on those held out."""
    source = RenderedCats(drawings, seed=_SEED, folder=default_cache_dir())
    data = ImageFolderDataModule(source=source, image_size=size, val_fraction=0.2)
    data.prepare_data()
    data.setup()
    images = torch.from_numpy(np.array(data.train_images))
    labels = torch.from_numpy(np.array(data.train_labels)).long()
    torch.manual_seed(0)
    network = classifier_network()
    optimizer = torch.optim.AdamW(network.parameters(), 1e-3, weight_decay=0.05)
    for step in trange(steps, desc="classifier", unit="step"):
        optimizer.param_groups[0]["lr"] = 1e-3 * 0.5 * (1 + math.cos(math.pi * step / steps))
        rows = torch.randint(0, len(images), (64,))
        x = in_range(images[rows])
        x = torch.where((torch.rand(64) < 0.5)[:, None, None, None], x.flip(3), x)
        x = x + 0.2 * torch.rand(64, 1, 1, 1) * torch.randn_like(x)  # samples are not as clean as drawings
        loss = functional.cross_entropy(network(x), labels[rows], label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    network.eval()
    val = torch.from_numpy(np.array(data.val_images))
    found = classify(network, val)
    return network, float((found == torch.from_numpy(np.array(data.val_labels))).float().mean())


def classifier_network() -> nn.Module:
    """Make a small convolutional network: four levels of two convolutions, and a mean over places."""
    layers: list[nn.Module] = []
    channels = 3
    for width in (32, 64, 96, 128):
        for stride in (1, 2):
            layers += [nn.Conv2d(channels, width, 3, stride, padding=1), nn.GroupNorm(8, width), nn.SiLU()]
            channels = width
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, len(NAMES))]
    return nn.Sequential(*layers)


@torch.no_grad()
def classify(network: nn.Module, images: Tensor) -> Tensor:
    """Return the breed that each image is taken for, (N,)."""
    return torch.cat([network(in_range(part)).argmax(1) for part in images.split(256)])


def in_range(images: Tensor) -> Tensor:
    """Turn bytes into float32 in [-1, 1]."""
    return RGB().encode(images)


def half_width(agrees: Tensor) -> float:
    """Return half the 95 % interval of a share."""
    share = float(agrees.mean())
    return 1.96 * math.sqrt(max(share * (1 - share), 1 / len(agrees)) / len(agrees))


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("target", type=Path, nargs="+", help="a run, an experiment, a checkpoint, or a .npz of samples")
    add("--n", type=int, default=600, help="samples to draw of a run (default 600)")
    add("--drawings", type=int, default=3000, help="drawings for the classifier (default 3,000)")
    add("--steps", type=int, default=800, help="steps of the classifier's training (default 800)")
    add("--out", type=Path, help="JSON file for the figures")
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
