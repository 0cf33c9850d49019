"""What a model draws after training on few or many images: copies of them, or cats of its own.

Trains the demo's small DiT on so many rendered cats each, as long every time (runs that are there go on or
are left alone), samples from each, and compares the samples with new renderings, which no run has seen: KID,
coverage in the features of the evaluation, and how near samples are to training images, compared with new
renderings. The error of the denoiser on new renderings, over that on its training images, says how much it
knows by heart.

    python benchmarks/how_many_images.py --counts 100,300,1000,5000 --picture how-many.png --out how-many.json
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from lists import integers
from machine import describe, machine, write
from torch import Tensor

from datamodules.cache.cache import default_cache_dir
from datamodules.image_folder import ImageFolderDataModule
from datamodules.sources.rendered_cats import BREEDS, RenderedCats
from lightning_modules.evaluation.copies import CopyDetector
from lightning_modules.evaluation.denoising import errors_by_noise_level
from lightning_modules.evaluation.image_sets import Side, Sides
from lightning_modules.evaluation.protocol import Protocol
from lightning_modules.metrics.feature_networks.table import load_features
from lightning_modules.metrics.figure import Figures
from lightning_modules.pictures.images import save_png
from lightning_modules.pictures.sheets import Sheet
from lightning_modules.sampling.generate import sample_images
from lightning_modules.trained.trained import Trained, load_trained

ROOT = Path(__file__).resolve().parents[1]
NAMES = tuple(sorted(BREEDS))
_SIZE = 32
_NEW_SEED = 1_000_003  # of drawings that no run has been trained on
_SHOWN = 2  # rows of samples in the picture
_BAND = (1.0, 3.0)  # noise levels at which little but the outline is left to see


def main(args: Sequence[str] | None = None) -> None:
    """Train on each number of images, and print what came of it."""
    options = parse(args)
    facts = machine()
    print(describe(facts))
    new = drawings(2 * options.n, _NEW_SEED)
    protocol = Protocol(load_features(options.features), new.images[0::2], new.images[1::2], quiet=True)
    results: dict[str, object] = {"machine": facts, "n": options.n}
    strips = []
    print("| images | KID | coverage | copies | distance to training images | error on new renderings |")
    print("|---|---|---|---|---|---|")
    for count in options.counts:
        run = options.runs / f"cats-{count}"
        train(run, count, options.fit)
        trained = load_trained(run)
        samples = drawn(trained, options.n)
        found = measured(protocol, trained, samples, drawings(count, 0), new)
        results[str(count)] = found
        print(row(f"{count:,}", found))
        strips.append(Sheet(len(NAMES), f"{count:,} images", NAMES).draw(samples[: _SHOWN * len(NAMES)]))
    for name, figures in (("new renderings (floor)", protocol.floor), ("noise (ceiling)", protocol.ceiling)):
        print(row(name, {"figures": plain(figures)}))
        results[name] = plain(figures)
    if options.picture is not None:
        save_png(torch.cat(strips, dim=1), options.picture)
    write(results, options.out)


def drawings(count: int, seed: int) -> Side:
    """Return rendered cats as a run is given them, in an order that mixes the breeds."""
    data = ImageFolderDataModule(
        source=RenderedCats(count, seed=seed, folder=default_cache_dir()), image_size=_SIZE
    )
    data.prepare_data()
    data.setup()
    images = np.concatenate([np.asarray(data.train_images), np.asarray(data.val_images)])
    labels = np.concatenate([data.train_labels, data.val_labels]).astype(np.int64)
    mixed = np.random.default_rng(0).permutation(len(images))[:count]
    return Side(images[mixed], labels[mixed])


def train(run: Path, count: int, options: Sequence[str]) -> None:
    """Train the demo on so many drawings, if that is not done."""
    place = ["--trainer.default_root_dir", str(run.parent), "--experiment", run.name]
    source = ["--data.source", "RenderedCats", "--data.source.init_args.count", str(count)]
    command = [sys.executable, ROOT / "scripts" / "fit.py", *place, *source, *options]
    subprocess.run(command, check=True)


def drawn(trained: Trained, n: int) -> Tensor:
    """Sample from a model, the breeds in turn: uint8 (N, 3, S, S)."""
    asked = trained.module.conditioner.every().repeated(n)
    return torch.cat([batch.images for batch in sample_images(trained.module, trained.sampling, asked)])


def measured(
    protocol: Protocol, trained: Trained, samples: Tensor, own: Side, new: Side
) -> dict[str, object]:
    """Compare samples with new renderings, both with the training images, and the errors on both."""
    images = samples.numpy()
    features = protocol.features(images)
    detector = CopyDetector(protocol, own.images, new.images[1::2], mirrored=True)
    copies, _ = detector.look(images, features)
    count = min(len(own.images), len(new.images))
    sides = Sides(*(Side(side.images[:count], side.labels[:count]) for side in (own, new)))
    (band,) = errors_by_noise_level(trained.module, sides, _BAND, quiet=True)
    return {
        "figures": plain(protocol.figures(features)),
        "copies": asdict(copies),
        "error": band.val / band.train,
    }


def plain(figures: Figures) -> dict[str, dict[str, object]]:
    """Return figures as plain values."""
    return {name: asdict(figure) for name, figure in figures.items()}


def row(name: str, found: dict[str, dict]) -> str:  # type: ignore[type-arg]
    """Return a line of the table."""
    kid, coverage = (found["figures"][which] for which in ("kid", "coverage"))
    half = (kid["high"] - kid["low"]) / 2
    cells = [name, f"{kid['value']:.2f} ±{half:.2f}", f"{coverage['value']:.3f}"]
    if "copies" in found:
        copies = found["copies"]
        cells += [f"{copies['copies']:.1%}", f"{copies['distance_ratio']:.2f}", f"{found['error']:.2f}"]
    return f"| {' | '.join(cells)} |" + " |" * (6 - len(cells))


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--counts", type=integers, default=[100, 300, 1000, 5000], help="images of each training")
    add("--n", type=int, default=600, help="samples, and new renderings on each side (default 600)")
    add("--features", default="auto", help="feature network, as evaluate.py takes it (default auto)")
    add("--runs", type=Path, default=Path("runs"), help="where the runs are (default runs)")
    add("--picture", type=Path, help="PNG of two rows of samples of each")
    add("--out", type=Path, help="JSON file for the figures")
    add("fit", nargs="*", help="further options of fit.py, behind --")
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
