"""Tiny runs, their pages, and the images that `ninelives sample` makes of them: for the browser tests.

`python -m tests.helpers.drawing_pages FOLDER` writes them into a folder, with what is there in `pages.json`.
"""

from __future__ import annotations

import base64
import json
import shutil
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from datamodules.sources.rendered_cats import RenderedCats
from lightning_modules.cli import main
from tests.helpers.command_line import UNET, options, shrunk

SIZE = 16
HOSTILE = ("calico", '<img src=x onerror="window.hacked=1">', "a, \"b\" & 'c' *_x_*")
"""Classes of the first run; no slash, since they are folders."""


@dataclass(frozen=True)
class Asked:
    """Images of a run, as a link to the page asks for them and as the command does."""

    link: str
    command: tuple[str, ...] = ()
    rows: int = 1


@dataclass(frozen=True)
class TinyRun:
    """A run: how it is trained, and which of its images are compared."""

    name: str
    classes: tuple[str, ...]
    training: tuple[str, ...]
    asked: tuple[Asked, ...]


def guided(scale: float, length: str) -> tuple[str, ...]:
    """Options of a training whose samples are guided."""
    settings = {"sample_grid.sampling.guidance": scale, "sample_grid.sampling.guide_length": length}
    return tuple(options(settings))


STEPS = 30
RARELY = options(
    {
        "trainer.max_steps": STEPS,
        "trainer.val_check_interval": STEPS,
        "checkpoint.every_n_steps": STEPS,
        "sample_grid.every_n_steps": STEPS,
        "model.optimizer.learning_rate": 0.01,
    }
)
DIT = tuple(options({"model.network.width": 64, "model.network.depth": 2, "model.network.heads": 2}))
RUNS = (
    TinyRun(
        "own-guide",
        HOSTILE,
        (*DIT, "--ema.lengths=[0.25]", *guided(2, "0.25"), "--sample_grid.sampling.steps=6"),
        (
            Asked("seed=0&rows=2", rows=2),
            Asked(
                "seed=7&rows=1&sampler=unipc&steps=5&guidance=1.5&interval=0.5,5",
                ("--seed=7", "--sampler=unipc", "--steps=5", "--guidance=1.5", "--interval", "0.5", "5"),
            ),
            Asked(
                "seed=123456789012&rows=1&sampler=heun&steps=4&schedule=flow&threshold=clip&guidance=1",
                (
                    *("--seed=123456789012", "--sampler=heun", "--steps=4"),
                    *("--schedule=flow", "--threshold=clip", "--guidance=1"),
                ),
            ),
        ),
    ),
    TinyRun(
        "by-label",
        ("a", "b"),
        ("--config", "demo-unet", *UNET, *guided(2.5, "null"), "--sample_grid.sampling.steps=4"),
        (
            Asked("seed=1&rows=1", ("--seed=1",)),
            Asked(
                "seed=0&rows=1&sampler=euler&steps=5&threshold=dynamic",
                ("--sampler=euler", "--steps=5", "--threshold=dynamic"),
            ),
        ),
    ),
    TinyRun(
        "unconditional",
        ("images",),
        (*DIT, "--sample_grid.sampling.steps=5"),
        (Asked("seed=2&rows=1", ("--seed=2",), rows=6),),
    ),
)


def write(folder: Path) -> None:
    """Write all runs with their pages and images, and `pages.json`."""
    told = {run.name: dict(described(run, folder / run.name)) for run in RUNS}
    (folder / "pages.json").write_text(json.dumps(told, indent=1))


def described(run: TinyRun, folder: Path) -> Iterator[tuple[str, object]]:
    """Train a run, write its page, and tell what is there."""
    home = train(run, images(folder / "data", run.classes), folder)
    ninelives("page", home, "--out", folder / "page")
    yield "run", str(home)
    yield "page", str(folder / "page")
    yield "classes", list(run.classes) if len(run.classes) > 1 else []
    yield "asked", [{"link": each.link, "images": list(sampled(run, home, each))} for each in run.asked]


def train(run: TinyRun, data: Path, folder: Path) -> Path:
    """Train a run, and return its folder."""
    ninelives("fit", *shrunk(data, folder), "--experiment", run.name, *RARELY, *run.training)
    return folder / "runs" / run.name / "latest"


def sampled(run: TinyRun, home: Path, asked: Asked) -> Iterator[dict[str, object]]:
    """Sample the images that are compared; each is told with its label, index and pixels, RGB in base64."""
    for label in range(len(run.classes)):
        out = home.parent / "sampled"
        ninelives("sample", home, "--labels", f"/{label}", "--n", asked.rows, *asked.command, "--out", out)
        for index in range(asked.rows):
            with Image.open(out / f"{index:05d}.png") as picture:
                pixels = np.asarray(picture.convert("RGB"))
            rgb = base64.b64encode(pixels.tobytes()).decode()
            yield {"label": label, "index": index, "rgb": rgb}
        shutil.rmtree(out)


def images(folder: Path, classes: tuple[str, ...]) -> Path:
    """Write rendered cats in folders of these names, or in the folder itself for one class."""
    cats = RenderedCats(count=24, size=SIZE, folder=folder).prepare()
    breeds = sorted(cats.iterdir())
    for number, name in enumerate(classes):
        place = folder / "classes" / name if len(classes) > 1 else folder / "classes"
        shutil.copytree(breeds[number], place)
    return folder / "classes"


def ninelives(command: str, *args: object) -> None:
    """Run a command in this process; its own words go to stderr, where failures are looked for."""
    print("ninelives", command, *args, file=sys.stderr, flush=True)
    main.run([command, *map(str, args)])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    write(Path(sys.argv[1]).absolute())
