"""Largest difference of a pixel between a run's page in Chromium and `ninelives sample`, by backend.

The images are those of `ninelives sample RUN --labels LABEL --seed SEED`, with the run's own settings, or
with those that `--settings` changes: what a link to the page has after `#`.

  python benchmarks/page_parity.py runs/demo --n 100
  python benchmarks/page_parity.py runs/demo --backends wasm --settings "guidance=4&steps=20"
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lists import names
from machine import describe, machine, write
from numpy.typing import NDArray
from page_browser import BACKENDS, browsing, opened

from lightning_modules.page.writing import write_page
from lightning_modules.sampling.generate import sample_images
from lightning_modules.sampling.settings import Sampling
from lightning_modules.trained.trained import Trained, load_trained

ROWS = 10
"""Images of a link: one class, or none, at a time."""
UNLABELED_COLUMNS = 6
"""What the page shows in a row of a model without classes."""


def changed(own: Sampling, settings: str) -> Sampling:
    """Return the run's settings with those of a link."""
    given: dict[str, Any] = dict(each.split("=") for each in settings.split("&") if each)
    kinds = {field.name: type(getattr(own, field.name)) for field in dataclasses.fields(own)}
    return dataclasses.replace(own, **{name: kinds[name](value) for name, value in given.items()})


def expected(trained: Trained, settings: Sampling, label: int, count: int, seed: int) -> NDArray[np.uint8]:
    """Return the first images of a label, as `ninelives sample` makes them, (N, H, W, 3)."""
    asked = trained.module.conditioner.read([label] * count)
    batches = [batch.images for batch in sample_images(trained.module, settings, asked, seed)]
    return torch.cat(batches).permute(0, 2, 3, 1).numpy()


def differences(trained: Trained, page: Path, args: argparse.Namespace) -> dict[str, list[int]]:
    """Return the largest difference of a pixel of each image, by backend."""
    module, found = trained.module, {backend: [] for backend in args.backends}
    settings = changed(trained.sampling, args.settings)
    size = (module.image_shape[1], module.image_shape[2])
    rows = ROWS if not module.conditioner.unconditional else max(1, round(ROWS / UNLABELED_COLUMNS))
    with browsing(page) as browser:
        opened(browser, args.backends)
        number = 0
        while len(next(iter(found.values()))) < args.n:
            label = number % len(module.class_names)
            seed, number = number // len(module.class_names), number + 1
            link = "&".join(filter(None, [f"seed={seed}", f"rows={rows}", f"classes={label}", args.settings]))
            link = link if not module.conditioner.unconditional else link.replace(f"&classes={label}", "")
            reference: NDArray[np.uint8] | None = None
            for backend in args.backends:
                shown = browser.images(backend, link, size)
                if reference is None:
                    reference = expected(trained, settings, label, len(shown), seed)
                apart = np.abs(shown.astype(int) - reference.astype(int))
                found[backend] += apart.reshape(len(shown), -1).max(axis=1).tolist()
    return {backend: each[: args.n] for backend, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--n", type=int, default=100, help="images (default 100)")
    parser.add_argument("--backends", type=names, default=list(BACKENDS), help="default: all")
    parser.add_argument("--settings", default="", help="what a link changes, such as guidance=4&steps=20")
    parser.add_argument("--out", type=Path, help="where to write all figures as JSON")
    args = parser.parse_args()
    trained = load_trained(args.run)
    with tempfile.TemporaryDirectory() as folder:
        page = write_page(args.run, Path(folder) / "page").folder
        found = differences(trained, page, args)
    print(describe(machine()))
    for backend, each in found.items():
        levels = np.bincount(each)
        shares = ", ".join(f"{count} with {level}" for level, count in enumerate(levels) if count)
        print(f"{backend}: {len(each)} images, largest difference {max(each)} of 255 ({shares})")
    write({"machine": machine(), "differences": found}, args.out)


if __name__ == "__main__":
    main()
