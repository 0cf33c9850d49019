"""Evaluating what somebody names: a run, a checkpoint, or images."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from datamodules.index.walk import SUFFIXES
from datamodules.sources.rendered_cats import RenderedCats
from lightning_modules.checkpoints.opening import open_checkpoint
from lightning_modules.checkpoints.whole import checkpoints_in
from lightning_modules.evaluation.folder_evaluation import evaluate_folder
from lightning_modules.evaluation.image_sets import folder_images
from lightning_modules.evaluation.plots import plot_report
from lightning_modules.evaluation.report import REPORT, Report
from lightning_modules.evaluation.request import AS_THE_RUN, DataOptions, EvaluationRequest
from lightning_modules.evaluation.run_evaluation import evaluate_run
from lightning_modules.evaluation.self_test import SelfTest, self_test
from lightning_modules.evaluation.setup import Setup, Variant
from lightning_modules.metrics.feature_networks.table import load_features
from lightning_modules.run.directory import LATEST, RunDirectory
from lightning_modules.run.finding import EXPORTED, find_checkpoint, find_run
from lightning_modules.sampling.settings import Sampling
from lightning_modules.sampling.stored import run_sampling


@dataclass(frozen=True)
class Evaluated:
    """A finished evaluation.

    Attributes:
        report: What was found.
        files: What was written: the report, then its plots.
    """

    report: Report
    files: Sequence[Path]


def evaluate(request: EvaluationRequest) -> Evaluated:
    """Evaluate a run, a folder or a file of images, and write the report with its plots.

    Raises:
        EvaluationError, DataError, FileNotFoundError, ValueError: With what to do.
    """
    checkpoint = None if _holds_images(request.target) else _newest_checkpoint(request.target)
    out = request.out or _report_folder(request.target, checkpoint)
    if checkpoint is not None:
        variants = _variants(request, checkpoint)
        report = evaluate_run(variants, _setup(request, out), request.data, request.against)
    else:
        _check_apart(out, request.target, request.against)
        report = _evaluate_images(request, out)
    path = out / REPORT
    report.save(path)
    return Evaluated(report, [path, *(plot_report(report, out) if request.plots else [])])


def check_metrics(
    data: DataOptions = AS_THE_RUN,
    features: str = "auto",
    image_size: int | None = None,
    count: int = 1000,
    seed: int = 0,
) -> SelfTest:
    """Damage real images in known ways and see whether the metrics notice.

    Args:
        data: Where the images are, by default rendered cats, and where decoded images are kept.
        features: Name of the feature network, see `load_features`.
        image_size: Side in pixels; none keeps the images' own.
        count: Largest number of images on each side.
        seed: Seed of the choice of images.

    Raises:
        EvaluationError, DataError: With what to do.
    """
    root = data.root or RenderedCats().prepare()
    network = load_features(features)
    images = folder_images(root, image_size, data.kept_in())
    return self_test(images, network, count, seed, data.kept_in())


def _evaluate_images(request: EvaluationRequest, out: Path) -> Report:
    if request.against is None:
        raise ValueError(
            f"{request.target} is no run, so its images need others to be compared with: give --against DIR"
        )
    return evaluate_folder(request.target, request.against, _setup(request, out))


def _setup(request: EvaluationRequest, out: Path) -> Setup:
    return Setup(
        load_features(request.features),
        out,
        request.count,
        request.seed,
        request.seeds,
        request.batch_size,
        request.data.kept_in(),
    )


def _holds_images(target: Path) -> bool:
    """Tell whether a target is images, in a folder or a file; if not, it is a run, or said to be one.

    Raises:
        ValueError: If it is one image.
    """
    if target.is_file() and target.suffix.lower() in SUFFIXES:
        raise ValueError(f"{target} is one image: give the folder that it lies in, and --against DIR")
    if target.is_dir():
        run = RunDirectory(target)
        of_run = (run.config, run.checkpoints, target / LATEST, target / EXPORTED)
        return not any(place.exists() for place in of_run) and find_run(target) is None
    return target.is_file() and target.suffix == ".npz"


def _newest_checkpoint(target: Path) -> Path:
    checkpoint = find_checkpoint(target)
    open_checkpoint(checkpoint)
    return checkpoint


def _report_folder(target: Path, checkpoint: Path | None) -> Path:
    """Return where a report goes: into the run, or next to what is evaluated."""
    run = None if checkpoint is None else RunDirectory.containing(checkpoint.resolve())
    if run is not None:
        return run.evaluation
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


def _variants(request: EvaluationRequest, newest: Path) -> list[Variant]:
    """Return every combination of checkpoint, weights and sampling that is asked for."""
    checkpoints = [newest]
    if request.checkpoints == "all" and not request.target.is_file():
        checkpoints = checkpoints_in(newest.parent)
    samplings = _samplings(request, run_sampling(newest))
    return [
        Variant(checkpoint, weights, sampling)
        for checkpoint in checkpoints
        for weights in request.weights
        for sampling in samplings
    ]


def _samplings(request: EvaluationRequest, own: Sampling) -> list[Sampling]:
    """Return every combination of sampling settings that is asked for; what is not is the run's own."""
    change = dataclasses.replace
    if request.guide_length is not None:
        own = change(own, guide_length=request.guide_length or None)
    found = [change(own, sampler=sampler) for sampler in request.samplers or [own.sampler]]
    if request.sigma_min:
        found = [change(s, sigma_min=low) for s in found for low in request.sigma_min]
    if request.guidance:
        found = [change(s, guidance=scale) for s in found for scale in request.guidance]
    if request.nfe:
        found = [settings.within(nfe) for settings in found for nfe in request.nfe]
    return found
