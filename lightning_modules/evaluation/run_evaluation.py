"""Evaluating the checkpoints of a run."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from datamodules.utils.io import file_digest
from datamodules.utils.progress import progress
from datamodules.utils.text import counted
from lightning_modules.evaluation.copies import CopyDetector
from lightning_modules.evaluation.denoising import BandError, errors_by_noise_level
from lightning_modules.evaluation.image_sets import (
    ImageSet,
    equal_sides,
    folder_images,
    same_classes,
    split_real,
    training_images,
)
from lightning_modules.evaluation.partial_report import PartialReport, left_over
from lightning_modules.evaluation.protocol import compare, over_seeds
from lightning_modules.evaluation.report import REPORT, Report, Row
from lightning_modules.evaluation.request import AS_THE_RUN, DataOptions
from lightning_modules.evaluation.run_inputs import checkpoint_step, run_data
from lightning_modules.evaluation.setup import Setup, Variant, describe, device, protocol_of
from lightning_modules.metrics.features import Images
from lightning_modules.metrics.memorization import Memorization
from lightning_modules.metrics.pairs import EvaluationError
from lightning_modules.module import DiffusionModule
from lightning_modules.pictures.captions import class_captions
from lightning_modules.pictures.images import save_png
from lightning_modules.pictures.sheets import Sheet
from lightning_modules.run.finding import run_config
from lightning_modules.sampling.generate import check_finite, sample_images
from lightning_modules.sampling.settings import Sampling
from lightning_modules.trained.averages import load_weights
from lightning_modules.trained.checkpoint import checkpoint_classes, image_size

_MAX_BAND_IMAGES = 512


class RunEvaluation:
    """Evaluate variants of one run against the images that it was trained on and those held out.

    Args:
        real: The run's images, or others to compare with.
        trained_on: The run's images, for memorization and the denoising error; None leaves these out.
        setup: How to evaluate.
        mirrored: Whether training mirrors images, so that mirrored copies are copies.
        class_names: The model's classes.

    Raises:
        EvaluationError: If the run's images are of other classes than the model's.
    """

    def __init__(
        self,
        real: ImageSet,
        trained_on: ImageSet | None,
        setup: Setup,
        mirrored: bool,
        class_names: tuple[str, ...],
    ) -> None:
        if trained_on is not None and not same_classes(trained_on.class_names, class_names):
            raise EvaluationError(
                f"{trained_on.name} has {counted(trained_on.class_names)}; but the model was trained on "
                f"{counted(class_names)}: give the images that it was trained on, --data FOLDER"
            )
        self.real, self.trained_on, self.setup, self.mirrored = real, trained_on, setup, mirrored
        self.split = split_real(real, setup.count, seed=setup.seed)
        self.protocol = protocol_of(real, self.split, setup)
        self.sides = equal_sides(trained_on, _MAX_BAND_IMAGES, setup.seed) if trained_on is not None else None
        # The reference's labels, so that the class balance of the samples is the reference's.
        self.labels = [int(label) for label in real.labels[self.split.reference]]
        self.same_classes = same_classes(real.class_names, class_names)
        self._detector: CopyDetector | None = None

    def report(self, variants: Sequence[Variant]) -> Report:
        """Evaluate every variant, and rewrite `report.json` after each, so that nothing is lost.

        What an evaluation that was stopped has left there is taken up, and not measured again.

        Raises:
            EvaluationError: If something cannot be evaluated honestly.
            KeyboardInterrupt: If it is stopped, with what is kept where.
        """
        path = self.setup.out / REPORT
        before = left_over(path, self.described())
        rows: list[Row] = []
        bands: dict[str, Sequence[BandError]] = {}
        report = Report(self.described(), self.protocol.floor, self.protocol.ceiling, rows, bands)
        with progress(variants, desc="evaluating", unit="set", disable=len(variants) < 2) as bar:
            try:
                for variant in bar:
                    rows.append(self._measured(variant, before, bands))
                    dataclasses.replace(report, complete=False).save(path)
            except KeyboardInterrupt as stop:
                if not rows:
                    raise
                raise KeyboardInterrupt(
                    f"stopped: {len(rows)} of {len(variants)} rows are measured and kept in {path}; the same "
                    f"command goes on with the others"
                ) from stop
        return report

    def _measured(
        self, variant: Variant, before: PartialReport, bands: dict[str, Sequence[BandError]]
    ) -> Row:
        """Return a variant's row, and put its errors by noise level to the others, measured now or before."""
        loaded = load_weights(variant.checkpoint, variant.weights, device())
        facts = self.facts(variant, loaded.words)
        name = f"step {facts['step']}, {loaded.words}"
        row = before.row(facts)
        if name not in bands and self.sides is not None:
            known = before.bands.get(name) if row is not None else None
            bands[name] = known or errors_by_noise_level(
                loaded.module, self.sides, batch_size=self.setup.batch_size
            )
        return row or self.row(loaded.module, variant, facts)

    def facts(self, variant: Variant, words: str) -> dict[str, str | int | float]:
        """Say what a variant's samples depend on."""
        settings = variant.sampling
        nfe = settings.nfe
        facts: dict[str, str | int | float] = {
            "step": checkpoint_step(variant.checkpoint),
            "weights": words,
            "sampler": settings.sampler,
            "nfe": nfe,
            "steps": settings.steps,
            "schedule": settings.schedule,
            "guidance": settings.guidance,
            "sigma_min": settings.sigma_min,
        }
        if settings.own_guide is not None:
            facts["guide_length"] = settings.own_guide
        return facts | {"checkpoint": str(variant.checkpoint), "sha256": file_digest(variant.checkpoint)}

    def described(self) -> dict[str, str | int | float]:
        """Say what is compared with what."""
        return describe(self.real, self.split, self.setup, len(self.protocol)) | {
            "class balance": "samples have the reference's labels"
            if self.same_classes
            else f"NOT matched: {self.real.name} has other classes than the model, whose samples have none",
            "seed": self.setup.seed,
            "seeds": self.setup.seeds,
        }

    def row(self, module: DiffusionModule, variant: Variant, facts: Mapping[str, str | int | float]) -> Row:
        """Sample images of a variant and evaluate them."""
        settings = variant.sampling
        step, words, nfe = facts["step"], facts["weights"], facts["nfe"]
        name = f"step {step}, {words}, {settings.sampler}, NFE {nfe}, to sigma {settings.sigma_min:g}"
        if settings.guidance != 1:
            name += f", guidance {settings.guidance:g}"
        if settings.own_guide is not None:
            name += f" away from length {settings.own_guide:g}"
        figures, found = [], None
        for seed in range(self.setup.seed, self.setup.seed + self.setup.seeds):
            images = self.sample(module, settings, seed, f"sampling, {settings.sampler} NFE {nfe}")
            features = self.protocol.features(images)
            figures.append(compare(self.protocol.reference, features, self.setup.network))
            if seed == self.setup.seed:
                plain = f"{step:08d}-{variant.weights}-{settings.sampler}-nfe{nfe:03d}"
                plain += f"-sigma{settings.sigma_min:g}-guidance{settings.guidance:g}"
                found = self.memorized(images, features, plain, name)
                self.picture(images, plain, name)
        return Row(name, facts, over_seeds(figures), found)

    def sample(self, module: DiffusionModule, settings: Sampling, seed: int, what: str) -> Images:
        """Sample N images, uint8 and rounded, with the reference's labels."""
        conditioner, count = module.conditioner, len(self.labels)
        condition = conditioner.read(self.labels) if self.same_classes else conditioner.null(count)
        batches = []
        with progress(total=count, desc=what, unit="image", delay=1.0) as bar:
            for batch in sample_images(module, settings, condition, seed, self.setup.batch_size):
                check_finite(batch, settings)
                batches.append(batch.images)
                bar.update(len(batch.images))
        return torch.cat(batches).numpy()

    def memorized(self, images: Images, features: Tensor, name: str, title: str) -> Memorization | None:
        """Measure how near samples are to the training images, and write a picture of the closest pairs."""
        real = self.trained_on
        if real is None or not real.val.any():
            return None
        if self._detector is None:
            train, val = real.images[~real.val], real.images[real.val]
            self._detector = CopyDetector(self.protocol, train, val, self.mirrored)
        found, pairs = self._detector.look(images, features)
        save_png(pairs.laid_out(title).draw(), self.setup.out / f"closest-pairs-{name}.png")
        return found

    def picture(self, images: Images, name: str, title: str) -> None:
        """Write a grid of the first samples, with the classes that they were asked for."""
        labels = self.labels[:64] if self.same_classes else []
        captions = class_captions(self.real.class_names, labels)
        sheet = Sheet(8, title, captions=captions)
        save_png(sheet.draw(torch.from_numpy(images[:64])), self.setup.out / f"samples-{name}.png")


def evaluate_run(
    variants: Sequence[Variant],
    setup: Setup,
    options: DataOptions = AS_THE_RUN,
    against: Path | None = None,
) -> Report:
    """Evaluate variants of a run against its own images, or against those of another folder.

    Memorization is measured where the run's own images are known: not for a checkpoint that lies by itself.

    Args:
        variants: Checkpoints, weights and samplers, at least one.
        setup: How to evaluate.
        options: What is said of the run's images in place of the run.
        against: Another folder to compare with.

    Raises:
        EvaluationError, DataError, FileNotFoundError: With what to do.
    """
    checkpoint = variants[0].checkpoint
    names = checkpoint_classes(checkpoint)
    if against is not None and options.root is None and run_config(checkpoint) is None:
        real = folder_images(against, image_size(checkpoint), setup.cache_dir)
        return RunEvaluation(real, None, setup, mirrored=False, class_names=names).report(variants)
    data = run_data(checkpoint, options)
    setup = dataclasses.replace(setup, cache_dir=options.kept_in(data.cache_dir if data.cache else None))
    own = training_images(data, str(data.root or "the run's images"))
    real = own if against is None else folder_images(against, data.image_size, setup.cache_dir)
    return RunEvaluation(real, own, setup, mirrored=data.flip, class_names=names).report(variants)
