"""Images per second that reach the training step, as float32 in [-1, 1], against the usual ways to load them.

The same files for all, at each size, in alternating blocks within one process:

  ours          batches of this project, one gather each from the decoded cache, flipped and converted
  on device     the same with the images resident on the device (here: in its memory, gathered there)
  no cache      --data.cache false: this project's decoding, in every batch
  pillow + N    open, convert to RGB, resize, crop, mirror, to float; DataLoader with N workers
  hugging face  datasets' imagefolder with the same steps as its transform (needs the datasets package)
  copy          the bytes of the batches copied within memory, and nothing else: the limit

Reported are medians over the rounds, and the ratio of ours to each. Files that Pillow cannot open are taken
out beforehand, since the usual pipelines would stop at them. Start-up is left out, and so are the first batch
of a block and what workers had ready while others were timed. Then, once per size: building the cache (with a
thread per core), opening it again, and how much memory each took at most, in processes of their own; and one
epoch of the usual pipeline without workers.

    python benchmarks/data_path.py --data my_photos
    python benchmarks/data_path.py --data my_photos --sizes 64 --order 1000000
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from machine import describe, machine, write
from PIL import Image
from torch.utils.data import DataLoader
from usual_loaders import hugging_face, pillow

from datamodules.batches.batches import TrainBatches
from datamodules.image_folder import ImageFolderDataModule

Batches = Iterator[Any]
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def endless(loader: DataLoader[Any]) -> Batches:
    while True:
        yield from loader


def ours(module: ImageFolderDataModule) -> Batches:
    module.prepare_data()
    module.setup()
    return (module.on_after_batch_transfer(batch, 0) for batch in module.train_dataloader())


def copies(size: int, batch: int) -> Batches:
    source = torch.zeros(batch, 3, size, size, dtype=torch.uint8)
    while True:
        yield source.clone()


def block(batches: Batches, batch: int, seconds: float, ready: int) -> float:
    """Images per second, over at least so long; the first batch and those that are ready are not timed."""
    for _ in range(1 + ready):
        next(batches)
    started, count = time.perf_counter(), 0
    while (elapsed := time.perf_counter() - started) < seconds or not count:
        next(batches)
        count += 1
    return count * batch / elapsed


def main(args: Sequence[str] | None = None) -> None:
    """Measure, print, and write JSON if asked to."""
    options = parse(args)
    logging.getLogger("datamodules").setLevel(logging.ERROR)
    logging.getLogger("lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", "This DataLoader will create")
    if options.child:
        child(options)
        return
    facts = machine() | {"torch_threads": torch.get_num_threads()}
    print(describe(facts))
    results: dict[str, object] = {"machine": facts, "options": {k: str(v) for k, v in vars(options).items()}}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        paths = linked(options, folder / "images")
        print(f"{len(paths)} files of {options.data}", flush=True)
        for size in options.sizes:
            results[f"{size} px"] = at_size(options, folder, paths, size)
    if options.order:
        results["order"] = order(options.order, options.batch_size)
    write(results, options.out)


def linked(options: argparse.Namespace, folder: Path) -> list[Path]:
    """Links to the files that Pillow can decode; a small folder is repeated until it fills ten batches."""
    sound, areas = [], []
    for path in sorted(path for path in options.data.resolve().rglob("*") if path.suffix.lower() in SUFFIXES):
        try:
            with warnings.catch_warnings(), Image.open(path) as image:
                warnings.simplefilter("ignore")
                if max(image.size) > options.largest:
                    continue
                image.convert("RGB")
        except (OSError, SyntaxError, ValueError):
            continue
        sound.append(path)
        areas.append(image.width * image.height)
    if not sound:
        sys.exit(f"no image in {options.data}")
    print(f"median of {statistics.median(areas) / 1e6:.3f} megapixels")
    folder.mkdir()
    links = []
    count = max(len(sound), 10 * options.batch_size)
    for number, path in enumerate(itertools.islice(itertools.cycle(sound), count)):
        links.append(folder / f"{number:06}{path.suffix.lower()}")
        links[-1].symlink_to(path)
    return links


def at_size(options: argparse.Namespace, folder: Path, paths: list[Path], size: int) -> dict[str, object]:
    """Rates of every way at one size, then the cache's costs."""
    batch, root = options.batch_size, folder / "images"
    common: dict[str, Any] = {"root": root, "image_size": size, "batch_size": batch, "val_fraction": 0.0}
    common["cache_dir"] = folder / "cache"
    build = in_a_process("build", options, root, folder, size)
    again = in_a_process("open", options, root, folder, size)
    ways: dict[str, Batches] = {
        "ours": ours(ImageFolderDataModule(**common)),
        "on device": ours(ImageFolderDataModule(**common, resident="device")),
        "no cache": ours(ImageFolderDataModule(**common, cache=False)),
    }
    for workers in options.workers:
        ways[f"pillow + {workers}"] = endless(pillow(paths, size, batch, workers))
    if loader := hugging_face(root, size, batch, folder / "hugging_face"):
        ways["hugging face"] = endless(loader)
    ways["copy"] = copies(size, batch)
    rates: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(options.rounds + 1):
        for name, batches in ways.items():
            ready = 2 * int(name.removeprefix("pillow + ")) if name.startswith("pillow") else 0
            rate = block(batches, batch, options.seconds, ready)
            if number:  # the first round warms up
                rates[name].append(rate)
    medians = {name: statistics.median(values) for name, values in rates.items()}
    print(f"\n{size} px, batches of {batch}, medians of {options.rounds} rounds")
    for name, median in medians.items():
        spread = f"{min(rates[name]):,.0f} to {max(rates[name]):,.0f}"
        print(
            f"  {name:14}{median:12,.0f} images/s ({spread}); ours is {medians['ours'] / median:.3g} times it"
        )
    epoch = one_epoch(paths, size, batch)
    print(f"  one epoch of the usual pipeline {epoch:.2f} s; building the cache {build['seconds']:.2f} s")
    print(f"  opening it again {again['seconds'] * 1000:.0f} ms")
    memory = f"building {build['megabytes']} MB, opening {again['megabytes']} MB"
    print(f"  peak memory beyond the imports and the index: {memory}", flush=True)
    return {"rates": rates, "medians": medians, "epoch_seconds": epoch, "build": build, "open": again}


def one_epoch(paths: list[Path], size: int, batch: int) -> float:
    started = time.perf_counter()
    for _ in pillow(paths, size, batch, 0):
        pass
    return time.perf_counter() - started


def in_a_process(
    task: str, options: argparse.Namespace, root: Path, folder: Path, size: int
) -> dict[str, float]:
    command = [sys.executable, __file__, "--child", task, "--data", str(root), "--sizes", str(size)]
    command += ["--cache-dir", str(folder / "cache"), "--batch-size", str(options.batch_size)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode:
        sys.exit(result.stderr)
    figures: dict[str, float] = json.loads(result.stdout)
    return figures


def child(options: argparse.Namespace) -> None:
    """Build or open the cache, and say how long it took and how much memory.

    The files are indexed beforehand, which is another cost and counted elsewhere.
    """
    import resource

    from datamodules.cache.cache import open_cache
    from datamodules.cache.pixels import Transform
    from datamodules.index.index import scan_folder

    index = scan_folder(options.data)
    before, started = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    open_cache(index, Transform(options.sizes[0], (255, 255, 255)), options.cache_dir, 0)
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(json.dumps({"seconds": seconds, "megabytes": round(peak / 1024)}))


class NoPixels:
    """So many images that nobody looks at, to time the order alone."""

    def __init__(self, count: int) -> None:
        self.shape = (count, 3, 1, 1)

    def gather(self, rows: np.ndarray) -> np.ndarray:
        """Return black pixels."""
        return np.zeros((len(rows), 3, 1, 1), np.uint8)


def order(count: int, batch: int) -> dict[str, float]:
    """Time and memory of the order of so many images in 5,000 classes, plain and balanced."""
    import tracemalloc

    from datamodules.batches.batches import ImageRows
    from datamodules.batches.order import epoch_permutation

    labels = np.random.default_rng(0).zipf(1.3, count).clip(max=5000) - 1
    data = ImageRows(NoPixels(count), labels, np.arange(count))
    figures: dict[str, float] = {}
    print(f"\nthe order of {count:,} images")
    for name, balanced in (("shuffled", False), ("balanced", True)):
        epoch_permutation.cache_clear()
        tracemalloc.start()
        started = time.perf_counter()
        batches = TrainBatches(data, batch, True, 0, balanced=balanced)
        batches[0]
        figures[f"{name}, first batch, ms"] = 1000 * (time.perf_counter() - started)
        for k in range(count // batch - 5, count // batch + 5):  # over the end of an epoch
            batches[k]
        figures[f"{name}, peak MB"] = tracemalloc.get_traced_memory()[1] / 1e6
        tracemalloc.stop()
        figures[f"{name}, us/batch"] = 1e6 * median_time(lambda k, batches=batches: batches[k], 300)
    for name, value in figures.items():
        print(f"  {name:24}{value:10.1f}")
    return figures


def median_time(call: Callable[[int], object], times: int) -> float:
    seconds = []
    for number in range(times):
        started = time.perf_counter()
        call(number)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of images, at any depth")
    parser.add_argument("--largest", type=int, default=10**6, help="leave out files with a longer side")
    parser.add_argument(
        "--sizes", type=int, nargs="+", default=[32, 64, 128], help="pixels (default 32 64 128)"
    )
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 1, 2], help="of the usual pipeline")
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count (default 5)")
    parser.add_argument("--seconds", type=float, default=1.0, help="least length of a block (default 1)")
    parser.add_argument("--order", type=int, default=0, help="also time the order of so many images")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    parser.add_argument("--child", choices=["build", "open"], help=argparse.SUPPRESS)
    parser.add_argument("--cache-dir", type=Path, help=argparse.SUPPRESS)
    return parser.parse_args(args)


if __name__ == "__main__":
    main()
