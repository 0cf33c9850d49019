"""Draw images from a trained run: see `python scripts/sample.py --help`."""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lightning_modules.sampling import Sampling

EPILOG = """examples:
  sample.py runs/demo                                 16 images from the newest run, classes in turn
  sample.py runs/demo --labels tabby,siamese --n 64 --guidance 2
  sample.py runs/demo --sampler heun --steps 40 --seed 1 --out pictures
"""


def main(args: Sequence[str] | None = None) -> None:
    """Draw images as the command line says.

    Args:
        args: The command line; none takes the process's.
    """
    options = _parse(args)
    try:
        folder = draw(options)
    except (FileNotFoundError, ValueError) as error:
        sys.exit(f"error: {error}")
    print(f"{options.n} images and grid.png in {folder}")


def draw(options: argparse.Namespace) -> Path:
    """Draw the images and the grid, and return the folder that they are in."""
    import torch
    from tqdm import tqdm

    from lightning_modules.drawing import choose_labels, draw_images
    from lightning_modules.images import image_grid, save_png, viewing_scale
    from lightning_modules.models import load_model
    from lightning_modules.runs import find_checkpoint, run_sampling

    checkpoint = find_checkpoint(options.run)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    module = load_model(checkpoint, device)
    settings = _override(run_sampling(checkpoint), options)
    labels = choose_labels(options.labels, module.class_names, options.n)
    folder = options.out or checkpoint.parent.parent / "drawn"
    images = []
    with tqdm(total=options.n, desc="drawing", unit="image") as bar:
        for batch in draw_images(module, settings, labels, options.seed, options.batch_size):
            for index, image in zip(batch.indices, batch.images, strict=True):
                save_png(image, folder / f"{index:05d}.png")
            images.append(batch.images)
            bar.update(len(batch.images))
    grid = image_grid(torch.cat(images), math.ceil(math.sqrt(options.n)))
    save_png(grid, folder / "grid.png", viewing_scale(module.image_shape[-1]))
    return folder


def _parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description="Draw images with the averaged weights of a run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "run", type=Path, help="a run directory, an experiment (its newest run), or a checkpoint"
    )
    parser.add_argument("--n", type=_positive, default=16, help="number of images (default 16)")
    parser.add_argument("--labels", help="classes in turn, names or numbers: tabby,siamese (default: all)")
    parser.add_argument("--sampler", choices=["euler", "ancestral", "heun", "dpmpp_2m"])
    parser.add_argument("--steps", type=_positive, help="denoising steps")
    parser.add_argument("--guidance", type=float, help="classifier-free guidance scale; 1 is none")
    parser.add_argument(
        "--seed", type=int, default=0, help="image i depends on the seed and i alone (default 0)"
    )
    parser.add_argument("--batch-size", type=_positive, default=64, help="images at a time (default 64)")
    parser.add_argument("--out", type=Path, help="folder for the images (default: drawn/ in the run)")
    parser.add_argument_group("sampler, steps and guidance are the run's own unless given")
    return parser.parse_args(args)


def _override(settings: Sampling, options: argparse.Namespace) -> Sampling:
    given = {name: getattr(options, name) for name in ("sampler", "steps", "guidance")}
    return dataclasses.replace(
        settings, **{name: value for name, value in given.items() if value is not None}
    )


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, not {value}")
    return value


if __name__ == "__main__":
    main()
