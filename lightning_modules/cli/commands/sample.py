"""Sample images from a trained run: see `ninelives sample --help`."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from datamodules.utils.exit_codes import RESUME
from lightning_modules.cli.parsing.argparse_internals import Group
from lightning_modules.cli.parsing.sampling_types import (
    count,
    guide_length,
    noise_level,
    seed,
    share,
    share_of_environment,
    steps,
)
from lightning_modules.cli.parsing.scripts import ScriptParser, number, path
from lightning_modules.cli.process import one_line_errors
from lightning_modules.diffusion.named import titles
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.diffusion.schedules.table import SCHEDULES
from lightning_modules.diffusion.tables import THRESHOLDS
from lightning_modules.ema.names import HELP, weights_name

EPILOG = """examples:
  ninelives sample runs/demo                          16 images from the newest run, classes in turn
  ninelives sample runs/demo --labels tabby,siamese --n 64 --guidance 3
  ninelives sample runs/demo --weights ema=0.25       an average of another length
  ninelives sample runs/demo --sampler unipc --nfe 10 --out pictures
  ninelives sample runs/demo --n 50000 --batch-size 256 --out samples.npz
  ninelives sample runs/demo --guidance 3 --guide-length 0.25   away from its own long average
  ninelives sample runs/demo --guidance 2 --guide-run runs/demo/latest/checkpoints/step=00001300.ckpt
  ninelives sample runs/demo --classes --interpolation --video
  for k in 1 2 3 4; do ninelives sample runs/demo --n 50000 --out samples.npz --part $k/4 & done

The same command goes on with sampling that was killed, and samples more if --n has grown; without --out
other settings go into another folder. Image i depends on the seed, its label and i alone, not on the batch
size and the number of parts.

--labels takes names of classes. A name with a comma, a quote or a blank at an end stands in double quotes:
--labels '"a, b",tabby'. Where no class is called so, none means no class, and a number the class at that
place, counted from 0; /none and /0 always mean that.
"""


def main(args: Sequence[str] | None = None) -> None:
    """Sample images as the command line says.

    Args:
        args: The command line; none takes the process's.
    """
    with one_line_errors("stopped; the same command goes on with what is missing", stopped_status=RESUME):
        options = parse(args)
        from lightning_modules.cli.sample import SampleOptions, sample

        print(sample(SampleOptions(**vars(options))))


def parse(args: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of a command line, checked also where two must fit together."""
    parser = make_parser()
    options = parser.parse_args(args)
    if options.part is None:
        try:
            options.part = share_of_environment(os.environ)
        except argparse.ArgumentTypeError as error:
            parser.error(str(error))
    if options.fresh and options.part[1] > 1:
        parser.error("--fresh would remove what the other parts have sampled: remove the images first")
    if options.interval is not None:
        low, high = options.interval = tuple(options.interval)
        if not low < high:
            parser.error(f"argument --interval: leads from low to high, not from {low:g} to {high:g}")
    return options


def make_parser() -> ScriptParser:
    """Return the parser of the command line."""
    parser = ScriptParser("sample", "Sample images with the weights of a run.", EPILOG)
    parser.add_argument(
        "run",
        type=path,
        help="a run directory, an experiment (its newest run), a checkpoint, or a .safetensors export",
    )
    parser.add_argument("--weights", type=weights_name, help=f"{HELP} (default: the run's main average)")
    parser.add_argument("--n", type=count, default=16, help="number of images (default 16)")
    parser.add_argument("--labels", help="classes in turn: tabby,siamese (default: all); see below")
    parser.add_argument(
        "--seed", type=seed, default=0, help="image i depends on the seed and i alone (default 0)"
    )
    _add_sampling(parser.add_argument_group("sampling", "what is not given is as in the run's own grids"))
    _add_output(parser.add_argument_group("output"))
    return parser


def _add_sampling(group: Group) -> None:
    group.add_argument("--sampler", choices=list(SAMPLERS), help=titles(SAMPLERS))
    length = group.add_mutually_exclusive_group()
    length.add_argument("--steps", type=steps, help="denoising steps")
    length.add_argument(
        "--nfe",
        type=steps,
        help="evaluations of the network per image (NFE) at most; a guided one counts two",
    )
    group.add_argument(
        "--schedule", choices=list(SCHEDULES), help=f"spacing of the noise levels: {titles(SCHEDULES)}"
    )
    group.add_argument("--shift", type=number(above=0.0), help="shift of the flow schedule toward noise")
    group.add_argument(
        "--sigma-min",
        type=number(above=0.0),
        help="last noise level: a larger one leaves out the grain of a little-trained model (try 0.2)",
    )
    group.add_argument("--guidance", type=number(), help="scale of guidance; 1: no guidance")
    group.add_argument(
        "--interval",
        type=noise_level,
        nargs=2,
        metavar=("LOW", "HIGH"),
        help="guide between these noise levels",
    )
    group.add_argument(
        "--guide-length",
        type=guide_length,
        metavar="LENGTH",
        help="guide away from the run's own average of this length, one of its ema.lengths (autoguidance); "
        "0: from the images of all classes",
    )
    group.add_argument(
        "--guide-run",
        type=path,
        metavar="RUN",
        help="guide away from this weaker model (autoguidance) instead of from the images of all classes",
    )
    group.add_argument(
        "--threshold",
        choices=["none", *THRESHOLDS],
        help=f"keep estimates in the range of images: {titles(THRESHOLDS)}",
    )
    group.add_argument("--churn", type=number(least=0.0), help="noise that stochastic_heun adds, S_churn")


def _add_output(group: Group) -> None:
    group.add_argument("--batch-size", type=count, default=64, help="images at a time (default 64)")
    group.add_argument(
        "--out",
        type=path,
        help="folder for the images, or a file samples.npz (default: in sampled/ of the run)",
    )
    group.add_argument("--fresh", action="store_true", help="replace images of other settings")
    group.add_argument(
        "--part",
        type=share,
        metavar="K/N",
        help="sample every Nth batch from the Kth on, on GPU K where there are any; N processes with the "
        "same --out share the work (default: RANK and WORLD_SIZE, as torchrun sets them)",
    )
    group.add_argument("--classes", action="store_true", help="classes.png: every class from the same noise")
    group.add_argument(
        "--interpolation", action="store_true", help="interpolation.png: from one image's noise to another's"
    )
    group.add_argument(
        "--video", action="store_true", help="denoising.gif and denoising.png: how images come about"
    )
