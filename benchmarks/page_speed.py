"""Seconds for one image with a run's own settings: the page's backends, and Python's on one thread.

Every round samples one image with each, in turn, of another seed in each round. The page's time is from
the link to the last pixel on the canvas; Python's is `Sampling.sample`, with the same graphs in onnxruntime
and with torch. A row's figure is the median of its rounds, a ratio the median of the rounds' ratios to
onnxruntime. The fastest rounds are told too: a machine that is busy with something else hides them least. Two
rounds are thrown away at the start.

  python benchmarks/page_speed.py runs/demo
  python benchmarks/page_speed.py runs/demo --backends wasm --rounds 15 --out speed.json
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ["OMP_NUM_THREADS"] = "1"  # before torch is imported

import onnxruntime
import torch
from lists import names
from machine import describe, machine, write
from page_browser import BACKENDS, browsing, opened
from torch import Tensor

from lightning_modules.diffusion.denoiser import Denoiser
from lightning_modules.page.writing import DENOISER, GUIDE, MANIFEST, write_page
from lightning_modules.sampling.generate import sample
from lightning_modules.sampling.image_noise import ImageNoise
from lightning_modules.trained.trained import Trained, load_trained

ONNX, TORCH = "onnxruntime", "torch"
Sampler = Callable[[int], None]


def with_torch(trained: Trained) -> Sampler:
    """Return what samples an image of a seed with torch."""
    asked = trained.module.conditioner.read([0])
    return lambda seed: [sample(trained.module, asked, trained.sampling, seed)].clear()


def with_onnxruntime(trained: Trained, page: Path) -> Sampler:
    """Return what samples an image of a seed with the graphs of a page in onnxruntime."""
    settings = trained.sampling
    denoiser = of_graph(page / DENOISER, 0)
    null = json.loads((page / MANIFEST).read_text(encoding="utf-8"))["null_label"]
    weak = of_graph(page / GUIDE, 0) if settings.own_guide is not None else of_graph(page / DENOISER, null)

    def run(seed: int) -> None:
        noise = ImageNoise(seed, [0], trained.module.image_shape)
        trained.module.encoder.decode(settings.sample(denoiser, noise, weak))

    return run


def of_graph(path: Path, label: int | None) -> Denoiser:
    """Return the denoiser that a graph is, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    inputs = {each.name for each in session.get_inputs()}

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        given = {"x": x.numpy(), "sigma": sigma.float().expand(len(x)).numpy()}
        if "labels" in inputs:
            given["labels"] = torch.full((len(x),), label or 0).numpy()
        return torch.from_numpy(session.run(["denoised"], given)[0])

    return denoise


def measure(trained: Trained, page: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Sample with each in turn, and return their figures."""
    python = {ONNX: with_onnxruntime(trained, page), TORCH: with_torch(trained)}
    seconds: dict[str, list[float]] = {name: [] for name in (*args.backends, *python)}
    with browsing(page) as browser:
        said = opened(browser, args.backends)
        for seed in range(1, args.rounds + 3):
            for backend in args.backends:
                seconds[backend].append(browser.seconds(backend, f"seed={seed}&rows=1&classes=0"))
            for name, run in python.items():
                begun = time.perf_counter()
                run(seed)
                seconds[name].append(time.perf_counter() - begun)
    return {name: figures(each[2:], seconds[ONNX][2:], said.get(name)) for name, each in seconds.items()}


def figures(own: list[float], other: list[float], said: str | None) -> dict[str, Any]:
    """Return a row: medians, and its rounds."""
    ratios = [a / b for a, b in zip(own, other, strict=True)]
    return {
        "seconds": statistics.median(own),
        "fastest": min(own),
        "ratio": statistics.median(ratios),
        "least_ratio": min(ratios),
        "most_ratio": max(ratios),
        "said": said,
        "rounds": own,
    }


def table(rows: dict[str, Any]) -> str:
    """Return the figures as the documentation shows them."""
    lines = [
        "| what | seconds an image | times onnxruntime's | fastest round | times |",
        "|---|---|---|---|---|",
    ]
    for name, row in rows.items():
        spread = f"{row['ratio']:.2f} ({row['least_ratio']:.2f} to {row['most_ratio']:.2f})"
        fastest = f"{row['fastest']:.3f} | {row['fastest'] / rows[ONNX]['fastest']:.2f}"
        lines.append(f"| {name} | {row['seconds']:.3f} | {spread} | {fastest} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--backends", type=names, default=list(BACKENDS), help="default: all")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--out", type=Path, help="where to write all figures as JSON")
    args = parser.parse_args()
    torch.set_num_threads(1)
    trained = load_trained(args.run)
    with tempfile.TemporaryDirectory() as folder:
        page = write_page(args.run, Path(folder) / "page").folder
        rows = measure(trained, page, args)
    settings = trained.sampling
    print(describe(machine()))
    print(f"{settings.sampler}, {settings.steps} steps, {settings.nfe} evaluations of the network an image")
    print(table(rows))
    write({"machine": machine(), "sampling": settings.to_dict(), "rows": rows}, args.out)


if __name__ == "__main__":
    main()
