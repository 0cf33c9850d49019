"""What `ninelives sample` does: sample a numbered set of images, and show what a model does."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from datamodules.utils.io import file_digest
from datamodules.utils.progress import progress
from lightning_modules.conditioning.class_choice import listed
from lightning_modules.diffusion.denoiser import Condition
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.images import image_grid, save_gif, save_png, viewing_scale
from lightning_modules.pictures.sheets import LaidOut, Sheet
from lightning_modules.sampling.demonstrations import (
    class_grid,
    denoising_frames,
    denoising_strip,
    interpolation_grid,
)
from lightning_modules.sampling.figures import CLASSES, DENOISING, FILM, GRID, INTERPOLATION, figure_of
from lightning_modules.sampling.generate import SampledBatch, batch_ranges, check_finite, sample_batch
from lightning_modules.sampling.place import COUNT, default_folder
from lightning_modules.sampling.sampled_images import SampledImages
from lightning_modules.sampling.settings import Sampling
from lightning_modules.sampling.store import SampledSet, begin, finish, sampled_set
from lightning_modules.trained.trained import Trained, load_trained
from lightning_modules.utils.memory import is_out_of_memory

GRID_IMAGES = 100
"""The grid shows at most so many images of a set."""


@dataclass(frozen=True)
class SampleOptions:
    """The command line of `ninelives sample`; None in a setting leaves the run's own."""

    run: Path
    weights: str | None
    n: int
    labels: str | None
    sampler: str | None
    steps: int | None
    nfe: int | None
    schedule: str | None
    shift: float | None
    sigma_min: float | None
    guidance: float | None
    guide_length: float | None
    interval: tuple[float, float] | None
    guide_run: Path | None
    threshold: str | None
    churn: float | None
    seed: int
    batch_size: int
    out: Path | None
    fresh: bool
    part: tuple[int, int]
    classes: bool
    interpolation: bool
    video: bool


class Work(NamedTuple):
    """What a command line leads to."""

    trained: Trained
    settings: Sampling
    guide: Trained | None
    chosen: Condition
    """What is asked for, in turn."""

    condition: Condition
    """What is asked of each image."""


def sample(options: SampleOptions) -> str:
    """Sample as the options say, and return what there is now, in a line.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If an option cannot be fulfilled, with what to do.
    """
    work = prepare(options)
    trained, settings, guide, chosen, condition = work
    module = trained.module
    told = set_manifest(options, settings, trained, guide, module.conditioner.written(chosen))
    own = trained.sampling.to_dict()
    labeled = options.labels is not None
    out = options.out or default_folder(trained.home.sampled, told, own, options.weights, labeled)
    kept = sampled_set(out)
    begin(kept, told, options.fresh, fewer=options.out is None)
    if not sample_missing(kept, options, work):
        return f"part {options.part[0] + 1} of {options.part[1]} is sampled; other parts are not yet"
    finish(kept, condition)
    weaker = None if guide is None else guide.module
    names = save_pictures(kept, out, options, settings, module, weaker, condition)
    evaluations = settings.nfe
    return (
        f"{options.n} images: {out}, next to them {', '.join(names)} ({trained.facts.weights} weights of "
        f"step {trained.facts.step}; {settings.sampler}, {evaluations} evaluations of the network an image)"
    )


def sample_in_memory(options: SampleOptions) -> SampledImages:
    """Sample as the options say, and return the images.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If an option cannot be fulfilled, with what to do.
    """
    work = prepare(options)
    batches = batch_ranges(options.n, options.batch_size)
    with progress(total=options.n, desc="sampling", unit="image") as bar:
        pixels = []
        for batch in sampled_batches(batches, options, work):
            pixels.append(batch.images)
            bar.update(len(batch.indices))
    return SampledImages(torch.cat(pixels), work.condition, work.trained.module.conditioner)


def prepare(options: SampleOptions) -> Work:
    """Load what samples, and choose how.

    Raises:
        FileNotFoundError: If there is no checkpoint.
        ValueError: If an option cannot be fulfilled, with what to do.
    """
    device = chosen_device(options.part[0])
    trained = load_trained(options.run, device, options.weights)
    module = trained.module
    settings = chosen_sampling(trained.sampling, options)
    guide = None if options.guide_run is None else load_guide(options.guide_run, module, device)
    check_guidance(options, settings, module)
    chosen = module.conditioner.choose(options.labels)
    return Work(trained, settings, guide, chosen, chosen.repeated(options.n))


def chosen_sampling(own: Sampling, options: SampleOptions) -> Sampling:
    """Return the run's own settings with those that the options change.

    Raises:
        ValueError: If one is out of its range.
    """
    changes: dict[str, Any] = {
        "sampler": options.sampler,
        "steps": options.steps,
        "schedule": options.schedule,
        "shift": options.shift,
        "sigma_min": options.sigma_min,
        "guidance": options.guidance,
        "guidance_interval": options.interval,
        "threshold": options.threshold,
    }
    if options.churn is not None:
        changes["churn"] = dataclasses.replace(own.churn, amount=options.churn)
    given = {name: value for name, value in changes.items() if value is not None}
    if options.guide_length is not None:
        given["guide_length"] = options.guide_length or None
    chosen = dataclasses.replace(own, **given)
    return chosen if options.nfe is None else chosen.within(options.nfe)


def check_guidance(options: SampleOptions, settings: Sampling, module: DiffusionModule) -> None:
    """Refuse options of guidance that would change nothing, or ask for a guide that is not there.

    Raises:
        ValueError: If there is one, with what was missing.
    """
    if settings.own_guide is not None and options.guide_run is None:
        module.ema_weights(settings.own_guide)
    ways = {
        "--guide-run": options.guide_run,
        "--guide-length": options.guide_length,
        "--interval": options.interval,
    }
    given = next((name for name, value in ways.items() if value is not None), None)
    if settings.guidance == 1 and given is not None:
        raise ValueError(f"{given} does nothing at a guidance scale of 1: add for example --guidance 2")
    guided = options.guide_run is not None or settings.guide_length is not None
    guided_by_label = options.guidance not in (None, 1) and not guided
    if guided_by_label and module.conditioner.unconditional:
        raise ValueError(
            "the model has one class, so there is no label to guide to: guide away from a weaker model, one "
            "of the run's averages with --guide-length, or an earlier checkpoint with --guide-run"
        )


def load_guide(place: Path, module: DiffusionModule, device: str) -> Trained:
    """Load the model to guide away from.

    Raises:
        FileNotFoundError: If it does not exist, with those that do.
        ValueError: If it is of other classes or images than the model.
    """
    try:
        guide = load_trained(place, device)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"--guide-run: {error}") from error
    its, own = guide.module, module
    if its.conditioner != own.conditioner:
        raise ValueError(
            f"--guide-run {place} was trained on other classes than the model: {listed(its.class_names)}; "
            f"the model has {listed(own.class_names)}"
        )
    if (its.image_size, its.encoder) != (own.image_size, own.encoder):
        raise ValueError(
            f"--guide-run {place} makes images of {its.image_size} px, but the model of {own.image_size} px"
        )
    return guide


def chosen_device(part: int) -> str:
    """Return the GPU of a part, where there are any, else the CPU."""
    count = torch.cuda.device_count()
    return f"cuda:{part % count}" if count else "cpu"


def set_manifest(
    options: SampleOptions, settings: Sampling, trained: Trained, guide: Trained | None, labels: list[Any]
) -> dict[str, Any]:
    """Return all that images depend on, as plain values; not what they do not: batches, parts, device."""
    return {
        "format": 1,
        COUNT: options.n,
        "seed": options.seed,
        "labels": labels,
        "model": model_identity(trained),
        "guide": None if guide is None else model_identity(guide),
        "sampling": settings.to_dict(),
    }


def model_identity(trained: Trained) -> dict[str, Any]:
    """Return what tells a model from others."""
    return trained.facts._asdict() | {"sha256": file_digest(trained.path)}


def sample_missing(kept: SampledSet, options: SampleOptions, work: Work) -> bool:
    """Sample this part's batches that are not there, and return whether those of all parts are then."""
    batches = batch_ranges(options.n, options.batch_size)
    part, parts = options.part
    mine = batches[part::parts]
    missing = kept.missing(mine)
    total = sum(map(len, mine))
    with progress(total=total, initial=total - sum(map(len, missing)), desc="sampling", unit="image") as bar:
        for batch in sampled_batches(missing, options, work):
            kept.add(batch)
            bar.update(len(batch.indices))
    return not kept.missing(batches)


def sampled_batches(batches: Sequence[range], options: SampleOptions, work: Work) -> Iterator[SampledBatch]:
    """Sample batches of a set, each of which is checked.

    Raises:
        ValueError: If a batch does not fit into memory, or holds values that are not finite.
    """
    module, guide = work.trained.module, None if work.guide is None else work.guide.module
    for batch in batches:
        wanted = work.condition[batch.start : batch.stop]
        try:
            sampled = sample_batch(module, work.settings, wanted, batch, options.seed, guide)
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise ValueError(
                f"{len(batch)} images at a time do not fit into memory: go on with "
                f"--batch-size {max(1, len(batch) // 2)}"
            ) from error
        check_finite(sampled, work.settings)
        yield sampled


def save_pictures(
    kept: SampledSet,
    out: Path,
    options: SampleOptions,
    settings: Sampling,
    module: DiffusionModule,
    guide: DiffusionModule | None,
    condition: Condition,
) -> list[str]:
    """Write the grid and the pictures that were asked for next to the set, and return their names."""
    shown, captions = min(options.n, GRID_IMAGES), module.conditioner.captions
    grid = Sheet(math.ceil(math.sqrt(shown)), captions=captions(condition[:shown]))
    pictures = {GRID: LaidOut(grid, kept.first(shown))}
    if options.classes:
        pictures[CLASSES] = class_grid(
            module, settings, options.seed, guide=guide, batch_size=options.batch_size
        )
    if options.interpolation:
        pictures[INTERPOLATION] = interpolation_grid(
            module, settings, condition[:6], options.seed, guide=guide
        )
    if options.video:
        frames = denoising_frames(module, settings, condition[:16], options.seed, guide)
        few = captions(condition[:6])
        pictures[DENOISING] = denoising_strip([frame[:6] for frame in frames], few)
        columns = math.ceil(math.sqrt(len(frames[0])))
        save_gif(
            [image_grid(frame, columns) for frame in frames],
            figure_of(out, FILM),
            max(1, viewing_scale(module.image_size) // 2),
        )
    for name, picture in pictures.items():
        save_png(picture.draw(), figure_of(out, name))
    return [figure_of(out, name).name for name in [*pictures, *([FILM] if options.video else [])]]
