"""One table and one picture of everything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from contestants.registry import PEERS
from contestants.task import Images

Result = Mapping[str, Any]
Results = Mapping[str, Sequence[Result]]

NOTES = """\
Mean over the seeds, in brackets the smallest and the largest. Fréchet and KID: lower is better. "above":
less the floor's, which is what as many real training images score against the same held-out reference.
"times the best peer": that, over the smallest of a peer, means of the seeds. KID ±: half the 95 %
bootstrap interval, mean of the seeds. Copies: share of samples that the ratio test calls copies of
training images (in brackets: of the held-out images); distance: median distance to the nearest training
image, over the held-out images'. Training time is from the first step to the last: starting processes,
importing and opening the images count for nobody. Of each peer, the raw or the averaged weights are
taken, the one with the lower held-out loss, which favors the peers: their averages are made for longer
runs. Matmul: GFLOP/s of the machine before each training, its noise."""


def spread(values: Sequence[float], digits: int = 3) -> str:
    """Return the mean, and the range if there are several values."""
    mean = f"{float(np.mean(values)):.{digits}g}"
    return mean if len(values) == 1 else f"{mean} ({min(values):.{digits}g} to {max(values):.{digits}g})"


def above(results: Results, bounds: Result, metric: str) -> dict[str, list[float]]:
    """Return every contestant's figures less the floor's; none where the figure is refused."""
    floor = bounds["floor"][metric]["value"]
    found: dict[str, list[float]] = {}
    for name, of in results.items():
        values = [one["figures"][metric]["value"] for one in of]
        if values and floor is not None and None not in values:
            found[name] = [value - floor for value in values]
    return found


def ratios(results: Results, bounds: Result, metric: str) -> dict[str, float]:
    """Return every contestant's mean above the floor, over the best peer's."""
    means = {name: float(np.mean(values)) for name, values in above(results, bounds, metric).items()}
    best = min((mean for name, mean in means.items() if name in PEERS), default=0.0)
    return {name: mean / best for name, mean in means.items()} if best > 0 else {}


def table(results: Results, bounds: Result) -> str:
    """Lay everything out in Markdown: quality, then cost."""
    quality = ["contestant"]
    for title in ("Fréchet", "KID"):
        quality += [title, "above", "times the best peer"]
    quality += ["precision", "recall", "density", "coverage", "copies", "distance"]
    rows = [[name, *_quality(name, results, bounds)] for name, of in results.items() if of]
    for title in ("floor", "ceiling"):
        figures = bounds[title]
        cells = [_one(figures["frechet"]), "", "", _one(figures["kid"]), "", ""]
        cells += [_one(figures[name]) for name in quality[7:11]]
        rows.append([f"{title}: {'real' if title == 'floor' else 'noise'}", *cells, "", ""])
    cost = ["contestant", "seeds", "seconds", "steps", "images seen", "images/s", "parameters", "weights"]
    cost += ["NFE", "GFLOP per sample", "s per 1,000 samples", "matmul"]
    costs = [[name, *_cost(of)] for name, of in results.items() if of]
    words = [
        f"* {name}: {of[0]['training']['choices']}; samples by {of[0]['sampling']['sampler']}."
        for name, of in results.items()
        if of
    ]
    return "\n\n".join([_markdown(quality, rows), _markdown(cost, costs), NOTES, "\n".join(words)])


def _quality(name: str, results: Results, bounds: Result) -> list[str]:
    of, cells = results[name], []
    for metric in ("frechet", "kid"):
        values = [one["figures"][metric]["value"] for one in of]
        higher, ratio = above(results, bounds, metric), ratios(results, bounds, metric)
        if None in values:
            cells += ["refused", "", ""]
            continue
        figure = spread(values)
        ends = [(one["figures"][metric]["low"], one["figures"][metric]["high"]) for one in of]
        if all(low is not None for low, _ in ends):
            figure += f" ±{float(np.mean([(high - low) / 2 for low, high in ends])):.2g}"
        cells.append(figure)
        cells.append(spread(higher[name]) if name in higher else "")
        cells.append(f"{ratio[name]:.2f}" if name in ratio else "")
    for metric in ("precision", "recall", "density", "coverage"):
        cells.append(spread([one["figures"][metric]["value"] for one in of]))
    gauges = [one["memorization"] for one in of]
    copies = float(np.mean([gauge["copies"] for gauge in gauges]))
    cells.append(f"{copies:.1%} ({gauges[0]['copies_val']:.1%})")
    return [*cells, spread([gauge["distance_ratio"] for gauge in gauges])]


def _cost(of: Sequence[Result]) -> list[str]:
    training, sampling = ([one[name] for one in of] for name in ("training", "sampling"))
    cells = [str(len(of)), spread([one["seconds"] for one in training], 4)]
    for key in ("steps", "images", "images_per_second"):
        values = [one[key] for one in training]
        several = f" ({min(values):,.0f} to {max(values):,.0f})" if len(values) > 1 else ""
        cells.append(f"{float(np.mean(values)):,.0f}{several}")
    cells.append(f"{training[0]['parameters'] / 1e6:.1f} M")
    cells.append(", ".join(one["weights"] for one in sampling))
    cells += [str(sampling[0]["nfe"]), f"{sampling[0]['gflop_per_sample']:.3g}"]
    cells.append(spread([one["seconds_per_1000"] for one in sampling]))
    return [*cells, spread([one["matmul_gflops"] for one in training])]


def _one(figure: Result) -> str:
    return "refused" if figure["value"] is None else f"{figure['value']:.3g}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def picture(grids: Mapping[str, Images], path: Path, rows: int = 6, columns: int = 6) -> None:
    """Draw the first images of every set side by side, each grid under its name, the real ones last.

    Args:
        grids: Sets of images, uint8 (N, 3, S, S), by name.
        path: The PNG file.
        rows: Rows of a grid.
        columns: Columns of a grid.
    """
    size = next(iter(grids.values())).shape[-1]
    scale = max(1, 64 // size)
    side, label, gap = size * scale, 22, 12
    width = len(grids) * (columns * side + gap) + gap
    page = Image.new("RGB", (width, label + rows * side + 2 * gap), "white")
    pen = ImageDraw.Draw(page)
    for number, (name, images) in enumerate(grids.items()):
        left = gap + number * (columns * side + gap)
        pen.text((left, gap // 2), name, fill="black", font_size=15)
        for place, image in enumerate(images[: rows * columns]):
            tile = Image.fromarray(np.ascontiguousarray(image.transpose(1, 2, 0)))
            at = (left + place % columns * side, label + gap // 2 + place // columns * side)
            page.paste(tile.resize((side, side), Image.Resampling.NEAREST), at)
    page.save(path)
